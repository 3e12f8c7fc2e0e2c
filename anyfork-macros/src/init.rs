//! `#[anyfork::init]`: registers a function that prepares a process, and gives
//! it a companion that has it run.

use proc_macro2::TokenStream;
use quote::quote;

use crate::argument::Argument;
use crate::companion::{Companion, Kind};
use crate::errors::Errors;
use crate::function::Function;
use crate::keys::{CRATE, Keys};
use crate::registered::{NAME, check_name, check_parameters, decode, local, registration};

/// What is to be registered: nothing about it is wrong.
struct Init {
    private: TokenStream,
    function: Function,
    /// An expression.
    name: TokenStream,
    arguments: Vec<Argument>,
}

/// What stands beside the user's function.
pub(crate) fn init(keys: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let keys = Keys::parse(keys, &[NAME, CRATE], &mut errors);
    let function = errors.ok(syn::parse2(item));
    let init = function.map(|function| check(&keys, function, &mut errors));
    errors.or(|| init.as_ref().map(expand).unwrap_or_default())
}

fn check(keys: &Keys, function: Function, errors: &mut Errors) -> Init {
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
    let call = local("call");
    let (decode, values) = decode(arguments, &call);
    let ident = &function.signature.ident;
    let outcome = function.outcome(private, &quote!(#ident(#(#values),*)));
    let outcome = match function.diverges() {
        true => outcome,
        false => quote!(::core::result::Result::Ok(#outcome)),
    };
    let body = quote! {
        #decode
        #call.finish()?;
        #outcome
    };
    let registration = registration(private, function, &quote!(INITS), name, &call, &body);
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
