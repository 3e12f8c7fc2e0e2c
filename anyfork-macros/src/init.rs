//! `#[anyfork::init]`: registers a function that prepares a process, and gives it a
//! companion.
//! RUNS IN: the compiler

use proc_macro2::TokenStream;
use quote::quote;

use crate::argument::Argument;
use crate::companion::{Companion, Kind};
use crate::errors::Errors;
use crate::function::Function;
use crate::keys::{CRATE, Keys};
use crate::registered::{NAME, check_name, check_parameters, decode, local, registration};

/// An init function that was checked.
struct Init {
    private: TokenStream,
    function: Function,
    /// An expression: the name that the function is registered under.
    name: TokenStream,
    arguments: Vec<Argument>,
}

/// The code beside the user's function.
pub(crate) fn init(keys: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let keys = Keys::parse(keys, &[NAME, CRATE], &mut errors);
    let function = errors.ok(syn::parse2(item));
    let init = function.map(|function| check(&keys, function, &mut errors));
    errors.or(|| init.as_ref().map(expand).unwrap_or_default())
}

fn check(keys: &Keys, function: Function, errors: &mut Errors) -> Init {
    function.refuse_second(errors);
    let parameters = check_parameters(&function, "an init function", errors);
    let arguments = Argument::all(&parameters, errors);
    if let Some(token) = &function.signature.asyncness {
        let message = "`async` is not supported: a runtime does not survive the forks that follow";
        errors.at(token, message);
    }
    Init {
        private: keys.private(errors),
        name: check_name(keys, &function, errors),
        arguments,
        function,
    }
}

fn expand(init: &Init) -> TokenStream {
    let Init {
        private,
        function,
        name,
        arguments,
    } = init;
    let entry = local("entry");
    let (decode, values) = decode(arguments, &entry);
    let ident = &function.signature.ident;
    let outcome = function.outcome(private, &quote!(#ident(#(#values),*)));
    let outcome = match function.diverges() {
        true => outcome,
        false => quote!(::core::result::Result::Ok(#outcome)),
    };
    let body = quote! {
        #decode
        #entry.finish()?;
        #outcome
    };
    let registration = registration(private, function, &quote!(INITS), name, &entry, &body);
    let companion = Companion {
        kind: Kind::Init,
        private,
        function,
        arguments,
        name,
    };
    let companion = companion.expand();
    quote!(#registration #companion)
}
