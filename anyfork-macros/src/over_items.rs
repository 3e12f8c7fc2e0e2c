//! What a companion has beside `call`: `map` over many items, `each`, and `service`.
//! RUNS IN: the compiler

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::Type;

use crate::argument::Argument;
use crate::registered::local;

/// A function, as far as it is known here.
pub(crate) struct Called<'a> {
    pub(crate) private: &'a TokenStream,
    pub(crate) visibility: &'a dyn ToTokens,
    pub(crate) deprecated: &'a TokenStream,
    pub(crate) title: &'a str,
    pub(crate) arguments: &'a [Argument],
    /// Statements that append the arguments to `collected`.
    pub(crate) adds: &'a [TokenStream],
    pub(crate) collected: &'a Ident,
    /// The type of the result that arrives, and the function that gives its codec.
    pub(crate) result: &'a TokenStream,
    pub(crate) result_codec: &'a Ident,
    pub(crate) has_sender: bool,
    pub(crate) is_async: bool,
}

/// The methods of the companion.
pub(crate) fn over_items(called: &Called<'_>) -> TokenStream {
    let Called {
        private,
        visibility,
        deprecated,
        title,
        arguments,
        adds,
        collected,
        result,
        result_codec,
        has_sender,
        is_async,
    } = called;
    let types: Vec<&Type> = arguments.iter().map(Argument::ty).collect();
    let names: Vec<&Ident> = arguments.iter().map(Argument::name).collect();
    let (item, pattern) = match (&types[..], &names[..]) {
        ([ty], [name]) => (quote!(#ty), quote!(#name)),
        _ => (quote!((#(#types),*)), quote!((#(#names),*))),
    };
    let callee = local("callee");
    let on = Ident::new("on", Span::mixed_site());
    let items = Ident::new("items", Span::mixed_site());
    let about_map = format!("Calls `{title}` for each item, in the workers of a pool.");
    let about_service = format!("Calls of `{title}` in a pool, as a `tower_service::Service`.");
    // The compiler refuses the call of a method whose bound no type has.
    let (map_bound, service_bound) = match has_sender {
        false => (quote!(), quote!()),
        true => (
            quote!(+ #private::WithoutSender),
            quote!(+ #private::WithoutSender),
        ),
    };
    let about_each = format!("Calls `{title}` once in every worker of a pool.");
    let parameters = arguments.iter().map(Argument::parameter);
    let service = cfg!(feature = "tower").then(|| {
        quote! {
            #[doc = #about_service]
            #deprecated
            #visibility fn service(
                #on: impl #private::OnPool #service_bound,
            ) -> #private::Service<#item, #result> {
                #private::service(#on, Self::#callee())
            }
        }
    });
    quote! {
        fn #callee() -> #private::Callee<#item, #result> {
            #private::Callee {
                name: Self::NAME,
                fingerprint: Self::__anyfork_fingerprint(),
                is_async: #is_async,
                encode: |#pattern| {
                    #[allow(unused_mut)]
                    let mut #collected = #private::Arguments::new(Self::NAME);
                    #(#adds)*
                    #collected
                },
                decode: |from| #private::Codec::decode(&Self::#result_codec(), from),
            }
        }

        #[doc = #about_map]
        #deprecated
        #visibility fn map<I: ::core::iter::IntoIterator<Item = #item>>(
            #on: impl #private::OnPool #map_bound,
            #items: I,
        ) -> #private::Map<I::IntoIter, #result> {
            #private::map(#on, #items, Self::#callee())
        }

        #[doc = #about_each]
        #deprecated
        #visibility fn each(
            #on: impl #private::OnPool #map_bound,
            #(#parameters),*
        ) -> #private::Each<#result> {
            #[allow(unused_mut)]
            let mut #collected = #private::Arguments::new(Self::NAME);
            #(#adds)*
            #private::each(#on, Self::#callee(), #collected)
        }

        #service
    }
}
