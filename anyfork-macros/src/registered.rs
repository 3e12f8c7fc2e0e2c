//! What workers and init functions have in common: parameters, a name, and an
//! element in a list of functions.
//! RUNS IN: the compiler

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::{FnArg, PatType};

use crate::argument::Argument;
use crate::errors::Errors;
use crate::function::Function;
use crate::keys::{Keys, Known};

/// `name = "…"`.
pub(crate) const NAME: Known = Known {
    name: "name",
    usage: "name = \"…\"",
};

/// The parameters of a function that is to be a `noun`.
pub(crate) fn check_parameters<'a>(
    function: &'a Function,
    noun: &str,
    errors: &mut Errors,
) -> Vec<&'a PatType> {
    function.refuse_special(errors);
    let mut parameters = Vec::new();
    for input in &function.signature.inputs {
        match input {
            FnArg::Typed(parameter) => parameters.push(parameter),
            FnArg::Receiver(receiver) => {
                let message = format!("methods are not supported: {noun} is a free function");
                errors.at(receiver, message);
            }
        }
    }
    parameters
}

/// An expression: the name that the function is registered under.
pub(crate) fn check_name(keys: &Keys, function: &Function, errors: &mut Errors) -> TokenStream {
    let given = keys.find(NAME.name).and_then(|key| key.string(errors));
    let given = given.cloned();
    match given {
        None => function.path(),
        Some(name) => {
            if name.value().is_empty() {
                errors.at(&name, "a name cannot be empty");
            }
            name.to_token_stream()
        }
    }
}

/// The element of `list` whose function has the body `body`, and its `Entry` in the
/// variable `entry`.
pub(crate) fn registration(
    private: &TokenStream,
    function: &Function,
    list: &TokenStream,
    name: &TokenStream,
    entry: &Ident,
    body: &TokenStream,
) -> TokenStream {
    let attributes = function.inherited();
    let companion = &function.signature.ident;
    quote! {
        #attributes
        #[allow(deprecated)]
        const _: () = {
            #[#private::linkme::distributed_slice(#private::#list)]
            #[linkme(crate = #private::linkme)]
            static __ANYFORK_FUNCTION: #private::Function = #private::Function {
                name: #name,
                identity: ::core::any::TypeId::of::<#companion>,
                enter: __anyfork_enter,
            };

            fn __anyfork_enter(#entry: &mut #private::Entry) -> #private::Result<#private::Outcome> {
                #body
            }
        };
    }
}

/// Statements that take the arguments from the `Entry` in `entry`, and the variables
/// that hold them afterwards.
pub(crate) fn decode(arguments: &[Argument], entry: &Ident) -> (TokenStream, Vec<Ident>) {
    let values: Vec<_> = (1..=arguments.len())
        .map(|n| local(&format!("arg{n}")))
        .collect();
    let decoded = arguments.iter().map(|argument| argument.receive(entry));
    (quote!(#(let #values = #decoded;)*), values)
}

/// A variable that cannot clash with a name of the user's.
pub(crate) fn local(name: &str) -> Ident {
    format_ident!("__{name}", span = Span::mixed_site())
}
