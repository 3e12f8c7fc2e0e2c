//! `#[anyfork::after_fork]`: registers a function that runs in every child.
//! RUNS IN: the compiler

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;
use crate::function::Function;
use crate::keys::{CRATE, Keys};

/// The code beside the user's function.
pub(crate) fn after_fork(keys: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let keys = Keys::parse(keys, &[CRATE], &mut errors);
    let private = keys.private(&mut errors);
    let function = errors.ok(syn::parse2::<Function>(item));
    if let Some(function) = &function {
        check(function, &mut errors);
    }
    errors.or(|| {
        function
            .map(|function| expand(&private, &function))
            .unwrap_or_default()
    })
}

fn check(function: &Function, errors: &mut Errors) {
    function.refuse_special(errors);
    let signature = &function.signature;
    if !signature.inputs.is_empty() {
        let message = "parameters are not supported: nothing is passed to this function";
        errors.at(&signature.inputs, message);
    }
    if let Some(token) = &signature.asyncness {
        let message = "`async` is not supported: there is no runtime in a process that begins";
        errors.at(token, message);
    }
}

fn expand(private: &TokenStream, function: &Function) -> TokenStream {
    let ident = &function.signature.ident;
    let (attributes, path) = (function.inherited(), function.path());
    quote! {
        #attributes
        #[allow(deprecated)]
        const _: () = {
            #[#private::linkme::distributed_slice(#private::AFTER_FORK)]
            #[linkme(crate = #private::linkme)]
            static __ANYFORK_AFTER_FORK: #private::AfterFork = #private::AfterFork {
                name: #path,
                run: #ident,
            };
        };
    }
}
