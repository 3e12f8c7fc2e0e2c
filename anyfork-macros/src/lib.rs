//! The attributes of [anyfork](https://docs.rs/anyfork), which re-exports them:
//! use them from there.
//!
//! Each attribute leaves the function as it is written and adds, beside it, an
//! element of a list that the linker collects. Parse, check, expand: expansion
//! never fails, and an error points at the token that is wrong.

mod argument;
mod early;
mod errors;
mod function;
mod keys;
mod text;
mod worker;

use proc_macro::TokenStream;

#[proc_macro_attribute]
pub fn worker(keys: TokenStream, item: TokenStream) -> TokenStream {
    beside(item, |item| worker::worker(keys.into(), item))
}

#[proc_macro_attribute]
pub fn early(keys: TokenStream, item: TokenStream) -> TokenStream {
    beside(item, |item| early::early(keys.into(), item))
}

/// The item as it was written, and what an attribute adds.
fn beside(
    item: TokenStream,
    add: impl FnOnce(proc_macro2::TokenStream) -> proc_macro2::TokenStream,
) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let added = add(item.clone());
    quote::quote!(#item #added).into()
}
