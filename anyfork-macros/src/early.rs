//! `#[anyfork::early]`: requests a template that is forked before `main`, and
//! registers a function that it runs first.
//! RUNS IN: the compiler

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;
use crate::function::Function;
use crate::keys::{CRATE, Keys, Known};

const KEEP_FDS: Known = Known {
    name: "keep_fds",
    usage: "keep_fds",
};

const KEEP_RIGHTS: Known = Known {
    name: "keep_rights",
    usage: "keep_rights",
};

const CONSTRUCTORS: Known = Known {
    name: "constructors",
    usage: "constructors = false",
};

/// A request that was checked.
struct Early {
    private: TokenStream,
    keep_fds: bool,
    keep_rights: bool,
    constructors: bool,
    function: Function,
}

/// The code beside the user's function.
pub(crate) fn early(keys: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let keys = Keys::parse(
        keys,
        &[KEEP_FDS, KEEP_RIGHTS, CONSTRUCTORS, CRATE],
        &mut errors,
    );
    let function = errors.ok(syn::parse2(item));
    let early = function.map(|function| check(&keys, function, &mut errors));
    errors.or(|| early.as_ref().map(expand).unwrap_or_default())
}

fn check(keys: &Keys, function: Function, errors: &mut Errors) -> Early {
    let signature = &function.signature;
    // The compiler checks the signature of a `main`, and so do attributes such as
    // `#[tokio::main]`, which make one of an `async fn`.
    if signature.ident != "main" {
        function.refuse_special(errors);
        if !signature.inputs.is_empty() {
            let message = "parameters are not supported: nothing is passed before `main`";
            errors.at(&signature.inputs, message);
        }
        if let Some(token) = &signature.asyncness {
            let message =
                "`async` is not supported: a runtime does not survive the forks that follow";
            errors.at(token, message);
        }
    }
    Early {
        private: keys.private(errors),
        keep_fds: keys.find(KEEP_FDS.name).is_some(),
        keep_rights: keys.find(KEEP_RIGHTS.name).is_some(),
        constructors: keys
            .find(CONSTRUCTORS.name)
            .and_then(|key| key.boolean(errors))
            .unwrap_or(true),
        function,
    }
}

fn expand(early: &Early) -> TokenStream {
    let Early {
        private,
        keep_fds,
        keep_rights,
        constructors,
        function,
    } = early;
    let ident = &function.signature.ident;
    let attributes = function.inherited();
    let path = function.path();
    let (preload, item) = if ident == "main" {
        (quote!(::core::option::Option::None), None)
    } else {
        let outcome = function.outcome(private, &quote!(#ident()));
        (
            quote!(::core::option::Option::Some(__anyfork_preload)),
            Some(quote! {
                fn __anyfork_preload() -> #private::Outcome {
                    #outcome
                }
            }),
        )
    };
    quote! {
        #attributes
        #[allow(deprecated)]
        const _: () = {
            #[#private::linkme::distributed_slice(#private::EARLY)]
            #[linkme(crate = #private::linkme)]
            static __ANYFORK_EARLY: #private::Early = #private::Early {
                name: #path,
                preload: #preload,
                keep_fds: #keep_fds,
                keep_rights: #keep_rights,
                constructors: #constructors,
            };

            #item
        };
    }
}
