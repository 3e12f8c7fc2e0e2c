//! The function that gives the codec of a type.
//! RUNS IN: the compiler
//!
//! The compiler looks for the codec by method lookup, which works only where the type is
//! known. All of the code is at the place of the type, so that the compiler reports a type
//! that cannot cross where it is written.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};

/// Number of slots that a type is taken apart into: parts of the longest tuple.
const SLOTS: usize = 12;

/// A function `name` that gives the codec of the type `ty`, which is at `span`.
pub(crate) fn codec(
    private: &TokenStream,
    name: &Ident,
    ty: &TokenStream,
    span: Span,
) -> TokenStream {
    let span = Span::mixed_site().located_at(span);
    let value = quote!(#private::value);
    let slots = |prefix: &str| -> Vec<Ident> {
        (0..SLOTS)
            .map(|n| format_ident!("{prefix}{n}", span = span))
            .collect()
    };
    let (outer, inner) = (slots("outer"), slots("inner"));
    // The first slot may be a tuple in an `Ok` half, and is taken apart once more.
    let first = &outer[0];
    let (inner_leaves, leaves) = (leaves(&inner, span), leaves(&outer[1..], span));
    quote_spanned! {span=>
        fn #name() -> impl #private::Codec<#ty> {
            #[allow(unused_imports)]
            use #value::{
                ApartOk as _, ApartShape as _, BytesLeaf as _, ErrorLeaf as _, FdLeaf as _,
                NoLeaf as _, SerdeLeaf as _, WholeOk as _, WholeShape as _,
            };
            let shape = (&&&#value::Probe::<#ty>::new()).shape();
            let (#(#outer),*) = shape.slots;
            let ok_shape = (&&&#first).ok_shape();
            let (#(#inner),*) = ok_shape.slots;
            let first = #value::join(ok_shape.kind, #inner_leaves);
            #value::join(shape.kind, (first, #leaves))
        }
    }
}

/// The codecs of slots as nested pairs: `(A, (B, (C, ())))`.
fn leaves(slots: &[Ident], span: Span) -> TokenStream {
    let none = quote!(());
    slots.iter().rev().fold(
        none,
        |rest, slot| quote_spanned!(span=> ((&&&&&#slot).leaf(), #rest)),
    )
}
