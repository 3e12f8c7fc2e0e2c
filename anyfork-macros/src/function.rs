//! The annotated function: what an attribute needs to know of it, the checks that
//! the attributes share, and how generated code calls it.
//! RUNS IN: the compiler
//!
//! The body is not parsed, so that it may use any syntax of any compiler.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Error, Meta, Result, ReturnType, Safety, Signature, Token, Type, Visibility, token,
};

use crate::errors::Errors;

pub(crate) struct Function {
    attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
}

impl Parse for Function {
    fn parse(input: ParseStream) -> Result<Function> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let refused = |error: Error| {
            let message = format!("{error}: this attribute goes on a free function");
            Error::new(error.span(), message)
        };
        let signature = input.parse().map_err(refused)?;
        if !input.peek(token::Brace) {
            return Err(refused(input.error("expected a body")));
        }
        input.parse::<TokenStream>()?;
        Ok(Function {
            attributes,
            visibility,
            signature,
        })
    }
}

impl Function {
    /// Without the `r#` of a raw identifier.
    pub(crate) fn name(&self) -> String {
        self.signature.ident.unraw().to_string()
    }

    /// An expression: the function's full path, made of its module's path and its
    /// name. A function inside another one has the path of one beside it.
    pub(crate) fn path(&self) -> TokenStream {
        let tail = format!("::{}", self.name());
        quote!(::core::concat!(::core::module_path!(), #tail))
    }

    /// Refuses what a registry of plain functions, or a call from safe code, cannot
    /// have.
    pub(crate) fn refuse_special(&self, errors: &mut Errors) {
        let signature = &self.signature;
        if let Safety::Unsafe(token) = &signature.safety {
            errors.at(
                token,
                "`unsafe` is not supported: anyfork calls this function from safe code",
            );
        }
        if let Some(abi) = &signature.abi {
            errors.at(
                abi,
                "`extern` is not supported: use an ordinary Rust function",
            );
        }
        if let Some(variadic) = &signature.variadic {
            errors.at(variadic, "variadics are not supported");
        }
        let generics = &signature.generics;
        if !generics.params.is_empty() {
            let message = "generic functions are not supported: one name stands for one function";
            errors.at(generics, message);
        }
        if let Some(clause) = &generics.where_clause
            && !clause.predicates.is_empty()
        {
            errors.at(clause, "`where` clauses are not supported");
        }
    }

    /// Refuses a second attribute of this library's.
    pub(crate) fn refuse_second(&self, errors: &mut Errors) {
        const OURS: [&str; 5] = ["worker", "init", "call", "early", "after_fork"];
        for attribute in &self.attributes {
            let path = attribute.path();
            let is_ours = path.segments.len() == 2
                && path.segments[0].ident == "anyfork"
                && OURS.iter().any(|name| path.segments[1].ident == name);
            if is_ours {
                let message = "a second attribute of anyfork's: one function is one thing";
                errors.at(attribute, message);
            }
        }
    }

    /// The attributes that generated items share with the function: they are
    /// compiled where it is, and the lints that it allows are allowed in them.
    pub(crate) fn inherited(&self) -> TokenStream {
        let inherited = self
            .attributes
            .iter()
            .filter_map(|attribute| inherit(&attribute.meta));
        quote!(#(#[#inherited])*)
    }

    /// `#[deprecated]`, for the method that starts the function.
    pub(crate) fn deprecated(&self) -> Option<&Attribute> {
        let mut attributes = self.attributes.iter();
        attributes.find(|attribute| attribute.path().is_ident("deprecated"))
    }

    /// Whether the function returns `!`.
    pub(crate) fn diverges(&self) -> bool {
        match &self.signature.output {
            ReturnType::Default => false,
            ReturnType::Type(_, ty) => matches!(bare(ty), Type::Never(_)),
        }
    }

    /// An expression of type `Outcome` from `call`, which calls the function.
    ///
    /// The compiler reports a return type that does not fit where it is written.
    pub(crate) fn outcome(&self, private: &TokenStream, call: &TokenStream) -> TokenStream {
        match &self.signature.output {
            _ if self.diverges() => call.clone(),
            ReturnType::Type(_, ty) if find_impl(ty).is_none() => {
                with_error_text(private, call, &quote!(<#ty as #private::Report>::report))
            }
            // There is no type to point at, or one with an `impl Trait` in it, which
            // cannot be named outside the signature.
            _ => with_error_text(private, call, &quote!(#private::Outcome::of)),
        }
    }
}

/// An expression that has `outcome_of` make an outcome, and gives it the text of an error
/// with its sources.
fn with_error_text(
    private: &TokenStream,
    call: &TokenStream,
    outcome_of: &TokenStream,
) -> TokenStream {
    let returned = Ident::new("__anyfork_returned", Span::call_site());
    let text = error_text(private, &returned);
    quote!({
        let #returned = #private::chain::Returned(#call);
        let __anyfork_text = #text;
        #outcome_of(#returned.0).with_error_text(__anyfork_text)
    })
}

/// An expression: the text of the error, with its sources, in `returned`, which is a
/// `Returned`.
pub(crate) fn error_text(private: &TokenStream, returned: &Ident) -> TokenStream {
    quote!({
        #[allow(unused_imports)]
        use #private::chain::{
            OfBoxed as _, OfBoxedSend as _, OfBoxedSync as _, OfError as _, OfOther as _,
        };
        #[allow(clippy::needless_borrow)]
        let __anyfork_text = (&&&&&#returned).__anyfork_error_text();
        __anyfork_text
    })
}

fn inherit(meta: &Meta) -> Option<TokenStream> {
    let path = meta.path();
    if path.is_ident("cfg") || path.is_ident("allow") {
        return Some(meta.to_token_stream());
    }
    let list = meta.require_list().ok()?;
    let tokens = &list.tokens;
    if path.is_ident("expect") {
        // The function fulfils the expectation; a second one might not.
        return Some(quote!(allow(#tokens)));
    }
    if path.is_ident("doc") && tokens.to_string() == "hidden" {
        return Some(meta.to_token_stream());
    }
    if path.is_ident("cfg_attr") {
        let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
        let metas = list.parse_args_with(parser).ok()?;
        let condition = metas.first()?;
        let inherited: Vec<_> = metas.iter().skip(1).filter_map(inherit).collect();
        return (!inherited.is_empty()).then(|| quote!(cfg_attr(#condition, #(#inherited),*)));
    }
    None
}

/// The type without parentheses, and without the invisible delimiters that a
/// `macro_rules!` macro puts around its arguments.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}

/// The `impl` of an `impl Trait`, anywhere in a type.
pub(crate) fn find_impl(tokens: impl ToTokens) -> Option<TokenTree> {
    tokens
        .to_token_stream()
        .into_iter()
        .find_map(|token| match token {
            TokenTree::Ident(word) if word == "impl" => Some(word.into()),
            TokenTree::Group(group) => find_impl(group.stream()),
            _ => None,
        })
}
