//! The keys of an attribute: `name = "…", crate = path`.
//! RUNS IN: the compiler
//!
//! Knows their syntax and their types, not what they mean together.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprLit, Lit, LitInt, LitStr, Path, Result, Token, parse_quote};

use crate::errors::Errors;

/// A key that an attribute knows.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// How to write it. A key without a `=` in it is a flag, which takes no value.
    pub(crate) usage: &'static str,
}

/// `crate = path`, which every attribute takes: where a re-export of anyfork is.
pub(crate) const CRATE: Known = Known {
    name: "crate",
    usage: "crate = path",
};

/// The keys of one attribute: each is known and given once.
#[derive(Default)]
pub(crate) struct Keys(Vec<Key>);

pub(crate) struct Key {
    pub(crate) name: Ident,
    usage: &'static str,
    value: Expr,
}

struct Parsed {
    name: Ident,
    value: Option<Expr>,
}

impl Parse for Parsed {
    fn parse(input: ParseStream) -> Result<Parsed> {
        let expected = |error: Error| Error::new(error.span(), "expected a key");
        let name = input.call(Ident::parse_any).map_err(expected)?;
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) => Some(input.parse()?),
            None if input.is_empty() || input.peek(Token![,]) => None,
            None => return Err(input.error("expected `=`")),
        };
        Ok(Parsed { name, value })
    }
}

impl Keys {
    pub(crate) fn parse(tokens: TokenStream, known: &[Known], errors: &mut Errors) -> Keys {
        let usages: Vec<_> = known
            .iter()
            .map(|known| format!("`{}`", known.usage))
            .collect();
        let supported = format!("supported: {}", usages.join(", "));
        let parser = Punctuated::<Parsed, Token![,]>::parse_terminated;
        let parsed = parser.parse2(tokens);
        let parsed =
            parsed.map_err(|error| Error::new(error.span(), format!("{error}; {supported}")));
        let mut keys = Keys::default();
        for Parsed { name, value } in errors.ok(parsed).into_iter().flatten() {
            let Some(known) = known.iter().find(|known| name == known.name) else {
                errors.at(&name, format!("unknown key `{name}`; {supported}"));
                continue;
            };
            if keys.find(known.name).is_some() {
                errors.at(&name, format!("the key `{name}` stands here twice"));
                continue;
            }
            let usage = known.usage;
            let takes_value = usage.contains('=');
            match value {
                Some(value) if takes_value => keys.0.push(Key { name, usage, value }),
                None if !takes_value => {
                    let value = parse_quote!(true);
                    keys.0.push(Key { name, usage, value });
                }
                _ => errors.at(&name, format!("expected `{usage}`")),
            }
        }
        keys
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.name == name)
    }

    /// The path of anyfork's `__private` module, as the user's crate sees it. The
    /// name has this crate's version: an anyfork of another version does not have
    /// the module, instead of items that differ.
    pub(crate) fn private(&self, errors: &mut Errors) -> TokenStream {
        let version = env!("CARGO_PKG_VERSION").replace(['.', '-', '+'], "_");
        let private = format_ident!("__private_{version}");
        let path = self.find(CRATE.name).and_then(|key| key.path(errors));
        match path {
            Some(path) => quote!(#path::#private),
            None => quote!(::anyfork::#private),
        }
    }
}

impl Key {
    pub(crate) fn string<'a>(&'a self, errors: &mut Errors) -> Option<&'a LitStr> {
        match self.literal() {
            Some(Lit::Str(value)) => Some(value),
            _ => self.refuse(errors),
        }
    }

    pub(crate) fn integer<'a>(&'a self, errors: &mut Errors) -> Option<&'a LitInt> {
        match self.literal() {
            Some(Lit::Int(value)) => Some(value),
            _ => self.refuse(errors),
        }
    }

    pub(crate) fn boolean(&self, errors: &mut Errors) -> Option<bool> {
        match self.literal() {
            Some(Lit::Bool(value)) => Some(value.value),
            _ => self.refuse(errors),
        }
    }

    fn path<'a>(&'a self, errors: &mut Errors) -> Option<&'a Path> {
        match bare(&self.value) {
            Expr::Path(value) if value.qself.is_none() => Some(&value.path),
            _ => self.refuse(errors),
        }
    }

    fn literal(&self) -> Option<&Lit> {
        match bare(&self.value) {
            Expr::Lit(ExprLit { lit, .. }) => Some(lit),
            _ => None,
        }
    }

    /// Reports that the value is wrong.
    pub(crate) fn refuse<T>(&self, errors: &mut Errors) -> Option<T> {
        errors.at(&self.value, format!("expected `{}`", self.usage));
        None
    }
}

/// The expression without the invisible delimiters that a `macro_rules!` macro puts
/// around its arguments.
fn bare(value: &Expr) -> &Expr {
    match value {
        Expr::Group(group) => bare(&group.expr),
        value => value,
    }
}
