//! Parameters that take arguments: `name: String`, `Option<T>` at the end, `Args`
//! for the rest.
//! RUNS IN: the compiler

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{GenericArgument, Pat, PatType, PathArguments, PathSegment, Type};

use crate::errors::Errors;
use crate::function::{bare, find_impl};
use crate::text::text;

/// A parameter that was checked.
pub(crate) struct Argument {
    /// As the user named it, or `argN` for a pattern.
    name: Ident,
    ty: Type,
    kind: Kind,
}

enum Kind {
    Required,
    Optional(Box<Type>),
    Rest,
}

impl Argument {
    /// Checks the parameters after the socket.
    pub(crate) fn all(parameters: &[&PatType], errors: &mut Errors) -> Vec<Argument> {
        let arguments = parameters.iter().enumerate();
        let arguments = arguments.map(|(index, parameter)| Argument::of(index, parameter, errors));
        let arguments: Vec<_> = arguments.collect();
        check_order(&arguments, errors);
        arguments
    }

    /// Checks the parameters of a function that is called: each takes one value.
    pub(crate) fn values(parameters: &[&PatType], errors: &mut Errors) -> Vec<Argument> {
        let arguments = parameters.iter().enumerate();
        let arguments = arguments.map(|(index, parameter)| {
            let argument = Argument::of(index, parameter, errors);
            match &argument.kind {
                Kind::Optional(inner) => check_borrowed(inner, errors),
                Kind::Required | Kind::Rest => check_borrowed(&argument.ty, errors),
            }
            argument
        });
        arguments.collect()
    }

    /// Checks the type of a result, whose error may cross as text.
    pub(crate) fn check_result(ty: &Type, has_text_errors: bool, errors: &mut Errors) {
        check_owned(ty, errors);
        if !has_text_errors {
            check_borrowed(ty, errors);
        }
    }

    pub(crate) fn name(&self) -> &Ident {
        &self.name
    }

    /// The name without the `r#` of a raw identifier.
    pub(crate) fn plain_name(&self) -> String {
        self.name.unraw().to_string()
    }

    pub(crate) fn ty(&self) -> &Type {
        &self.ty
    }

    fn of(index: usize, parameter: &PatType, errors: &mut Errors) -> Argument {
        let name = match &*parameter.pat {
            Pat::Ident(pattern) => pattern.ident.clone(),
            pattern => {
                let span = Span::mixed_site().located_at(pattern.span());
                Ident::new(&format!("arg{}", index + 1), span)
            }
        };
        let ty = Type::clone(&parameter.ty);
        let kind = match last_segment(&ty) {
            Some(segment) if segment.ident == "Args" => Kind::Rest,
            Some(segment) => option(segment).map_or(Kind::Required, Kind::Optional),
            None => Kind::Required,
        };
        check_attributes(parameter, errors);
        check_type(&ty, errors);
        if let Kind::Optional(inner) = &kind {
            check_owned(inner, errors);
        }
        Argument { name, ty, kind }
    }

    /// `name: Type`, for documentation.
    pub(crate) fn text(&self) -> String {
        format!("{}: {}", self.name.unraw(), text(&self.ty))
    }

    /// The parameter of the function that starts the worker.
    pub(crate) fn parameter(&self) -> TokenStream {
        let Argument { name, ty, .. } = self;
        quote!(#name: #ty)
    }

    /// An expression that takes the argument from the `Entry` in `entry`.
    ///
    /// The compiler reports a type that does not fit where it is written.
    pub(crate) fn receive(&self, entry: &Ident) -> TokenStream {
        let (name, ty) = (self.name.unraw().to_string(), text(&self.ty));
        match &self.kind {
            Kind::Required => {
                let wanted = &self.ty;
                quote!(#entry.arg::<#wanted>(#name, #ty)?)
            }
            Kind::Optional(wanted) => quote!(#entry.optional::<#wanted>(#name, #ty)?),
            Kind::Rest => quote!(#entry.rest()),
        }
    }

    /// An expression that gives `collector`, of type `ty`, with the argument
    /// appended.
    pub(crate) fn send(&self, ty: &TokenStream, collector: &Ident) -> TokenStream {
        let name = &self.name;
        match self.kind {
            Kind::Required => quote!(#ty::send_arg(#collector, #name)),
            Kind::Rest => quote!(#ty::send_args(#collector, #name)),
            Kind::Optional(_) => {
                let span = Span::mixed_site().located_at(name.span());
                let value = Ident::new("__value", span);
                quote! {
                    match #name {
                        ::core::option::Option::Some(#value) => #ty::send_arg(#collector, #value),
                        ::core::option::Option::None => #collector,
                    }
                }
            }
        }
    }

    /// A condition: `self` is left out and `next` is not, so that the worker would
    /// take the value of `next` for that of `self`. `None` if this cannot happen.
    pub(crate) fn skipped_before(&self, next: &Argument) -> Option<TokenStream> {
        let (name, following) = (&self.name, &next.name);
        let given = match (&self.kind, &next.kind) {
            (Kind::Optional(_), Kind::Optional(_)) => {
                quote!(::core::option::Option::is_some(&#following))
            }
            (Kind::Optional(_), Kind::Rest) => {
                quote!(::core::iter::ExactSizeIterator::len(&#following) != 0)
            }
            _ => return None,
        };
        Some(quote!(::core::option::Option::is_none(&#name) && #given))
    }

    /// The message of the launch's error if that condition holds.
    pub(crate) fn skipped_message(&self, next: &Argument, worker: &str) -> String {
        let (name, next) = (self.name.unraw(), next.name.unraw());
        format!("`{worker}` was given `{next}` without `{name}`, which comes before it")
    }
}

/// Checks the socket of a worker, except for its trait, which the compiler checks.
pub(crate) fn check_socket(socket: &PatType, errors: &mut Errors) {
    check_attributes(socket, errors);
    check_type(&socket.ty, errors);
}

fn check_attributes(parameter: &PatType, errors: &mut Errors) {
    for attribute in &parameter.attrs {
        if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            let message = "conditional parameters are not supported: put `#[cfg]` on the function";
            errors.at(attribute, message);
        }
    }
}

fn check_type(ty: &Type, errors: &mut Errors) {
    if let Some(word) = find_impl(ty) {
        errors.at(
            word,
            "`impl Trait` parameters are not supported: use a type",
        );
    }
    check_owned(ty, errors);
}

fn check_owned(ty: &Type, errors: &mut Errors) {
    let Type::Reference(reference) = bare(ty) else {
        return;
    };
    let hint = owned(&reference.elem).map_or("an owned type".into(), |it| format!("`{it}`"));
    errors.at(
        ty,
        format!("a reference cannot come from another process: use {hint}"),
    );
}

/// The type that owns what a reference to `ty` would borrow, if there is one for sure.
fn owned(ty: &Type) -> Option<String> {
    match bare(ty) {
        Type::Reference(reference) => owned(&reference.elem),
        Type::Slice(slice) => Some(format!("Vec<{}>", owned(&slice.elem)?)),
        Type::Path(path) => Some(match text(path).as_str() {
            "str" => "String".into(),
            "Path" | "std::path::Path" => "PathBuf".into(),
            "OsStr" | "std::ffi::OsStr" => "OsString".into(),
            other => other.into(),
        }),
        _ => None,
    }
}

/// Refuses a reference or a lifetime inside a type. [`check_owned`] refuses a type that is
/// a reference.
fn check_borrowed(ty: &Type, errors: &mut Errors) {
    if matches!(bare(ty), Type::Reference(_)) {
        return;
    }
    if let Some(borrowed) = find_borrow(ty.to_token_stream()) {
        let message = "borrowed data cannot come from another process: use owned types";
        errors.at(borrowed, message);
    }
}

/// The `&`, or the lifetime that is not `'static`, in a type.
fn find_borrow(tokens: TokenStream) -> Option<TokenStream> {
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == '&' => {
                return Some(TokenTree::from(mark).into());
            }
            TokenTree::Punct(mark) if mark.as_char() == '\'' => match tokens.next() {
                Some(TokenTree::Ident(name)) if name == "static" => {}
                name => return Some([Some(mark.into()), name].into_iter().flatten().collect()),
            },
            TokenTree::Group(group) => {
                if let Some(found) = find_borrow(group.stream()) {
                    return Some(found);
                }
            }
            _ => {}
        }
    }
    None
}

/// Arguments travel without names, so their order must determine the parameters.
fn check_order(arguments: &[Argument], errors: &mut Errors) {
    for (index, argument) in arguments.iter().enumerate() {
        let (before, after) = (&arguments[..index], &arguments[index + 1..]);
        let is_rest = |other: &Argument| matches!(other.kind, Kind::Rest);
        let is_required = |other: &Argument| matches!(other.kind, Kind::Required);
        match argument.kind {
            Kind::Rest if before.iter().any(is_rest) => {
                errors.at(
                    &argument.ty,
                    "a second `Args`: the first takes all arguments that are left",
                );
            }
            Kind::Rest if !after.is_empty() && !after.iter().any(is_rest) => {
                let message =
                    "`Args` takes all arguments that are left: it must be the last parameter";
                errors.at(&argument.ty, message);
            }
            Kind::Optional(_) if after.iter().any(is_required) => {
                let message =
                    "an `Option` may be absent: only `Option` and `Args` may come after it";
                errors.at(&argument.ty, message);
            }
            _ => {}
        }
    }
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match bare(ty) {
        Type::Path(ty) if ty.qself.is_none() => ty.path.segments.last(),
        _ => None,
    }
}

/// The `T` of `Option<T>`.
fn option(segment: &PathSegment) -> Option<Box<Type>> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(ty)) if segment.ident == "Option" => Some(Box::new(ty.clone())),
        _ => None,
    }
}
