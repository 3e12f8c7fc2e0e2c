//! `#[anyfork::call]`: registers a function whose result comes back, and gives it a
//! companion that calls it.
//! RUNS IN: the compiler

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ReturnType, Type, parse_quote};

use crate::argument::Argument;
use crate::codec::codec;
use crate::errors::Errors;
use crate::function::{Function, bare, error_text, find_impl};
use crate::keys::{CRATE, Keys, Known};
use crate::over_items::{Called, over_items};
use crate::registered::{NAME, check_name, check_parameters, local};
use crate::sender::{SenderParameter, take_sender};
use crate::text::text;

const TEXT_ERRORS: Known = Known {
    name: "text_errors",
    usage: "text_errors",
};

/// A function that was checked.
struct Call {
    private: TokenStream,
    function: Function,
    /// An expression: the name that the function is registered under.
    name: TokenStream,
    arguments: Vec<Argument>,
    sender: Option<SenderParameter>,
    /// What the function returns.
    output: Type,
    has_text_errors: bool,
}

/// The code beside the user's function.
pub(crate) fn call(keys: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let keys = Keys::parse(keys, &[NAME, CRATE, TEXT_ERRORS], &mut errors);
    let function = errors.ok(syn::parse2(item));
    let call = function.map(|function| check(&keys, function, &mut errors));
    errors.or(|| call.as_ref().map(expand).unwrap_or_default())
}

fn check(keys: &Keys, function: Function, errors: &mut Errors) -> Call {
    let mut parameters = check_parameters(&function, "a function that is called", errors);
    let sender = take_sender(&mut parameters, errors);
    let arguments = Argument::values(&parameters, errors);
    function.refuse_second(errors);
    let output: Type = match &function.signature.output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, ty) => Type::clone(ty),
    };
    let has_text_errors = keys.find(TEXT_ERRORS.name).is_some();
    if function.diverges() {
        let message = "a function that never returns has no result: use `#[anyfork::worker]`";
        errors.at(&output, message);
    } else if let Some(word) = find_impl(&output) {
        let message = "`impl Trait` results are not supported: use a type";
        errors.at(word, message);
    } else if has_text_errors && is_surely_no_result(&output) {
        let message = "`text_errors` is for a function that returns a `Result`";
        errors.at(&function.signature, message);
    } else {
        Argument::check_result(&output, has_text_errors, errors);
    }
    if let Some(asynchronous) = &function.signature.asyncness
        && !cfg!(feature = "tokio")
    {
        errors.at(asynchronous, "async calls need anyfork's feature `tokio`");
    }
    Call {
        private: keys.private(errors),
        name: check_name(keys, &function, errors),
        has_text_errors,
        arguments,
        sender,
        output,
        function,
    }
}

/// Whether a type is no `Result`, nor an alias for one.
fn is_surely_no_result(ty: &Type) -> bool {
    match bare(ty) {
        Type::Path(ty) => ty.path.segments.last().is_some_and(|last| {
            let name = last.ident.to_string();
            // Of a primitive type or of std's.
            name.starts_with(char::is_lowercase) || ["String", "Vec", "Option"].contains(&&*name)
        }),
        Type::Tuple(_) | Type::Array(_) => true,
        _ => false,
    }
}

fn expand(call: &Call) -> TokenStream {
    let Call {
        private,
        function,
        name,
        arguments,
        sender,
        output,
        has_text_errors,
    } = call;
    let (visibility, ident) = (&function.visibility, &function.signature.ident);
    let (attributes, deprecated) = (function.inherited(), function.deprecated());
    let types: Vec<&Type> = arguments.iter().map(Argument::ty).collect();
    let result = match has_text_errors {
        true => quote_spanned!(output.span()=> #private::value::Arriving<#output>),
        false => quote!(#output),
    };
    let numbers = (1..=arguments.len()).map(|n| local(&format!("codec{n}")));
    let numbers: Vec<Ident> = numbers.collect();
    let parameter_codecs = numbers
        .iter()
        .zip(&types)
        .map(|(name, ty)| codec(private, name, &quote!(#ty), ty.span()));
    let result_codec = codec(private, &local("result"), &result, output.span());
    let names = arguments.iter().map(Argument::plain_name);
    let texts: Vec<_> = arguments.iter().map(Argument::text).collect();
    let title = format!("{}({})", function.name(), texts.join(", "));
    let about = format!("Calls `{title}` in another process.");
    let about_call = format!("Calls `{title}` in `on`: a pool, a lease, or a process of its own.");
    let on = Ident::new("on", Span::mixed_site());
    let collected = local("arguments");
    let parameters = arguments.iter().map(Argument::parameter);
    let adds: Vec<TokenStream> = arguments
        .iter()
        .zip(&numbers)
        .map(|(argument, codec)| {
            let (value, name, ty) = (argument.name(), argument.plain_name(), text(argument.ty()));
            quote!(#private::Arguments::add(&mut #collected, &Self::#codec(), #value, #name, #ty);)
        })
        .collect();
    let entry = local("entry");
    let event_name = local("event");
    let event = match sender {
        Some(sender) => Type::to_token_stream(&sender.event),
        None => quote!(()),
    };
    let event_codec = sender
        .as_ref()
        .map(|it| codec(private, &event_name, &event, it.event.span()));
    let event_decoder = match sender {
        Some(_) => quote!(|from| #private::Codec::decode(&Self::#event_name(), from)),
        None => quote!(#private::no_event),
    };
    let sender_name = local("sender");
    let sender_value = sender.as_ref().map(|_| {
        quote! {
            let #sender_name = #private::CallEntry::sender::<#event>(#entry, |event, out| {
                #private::Codec::encode(&#ident::#event_name(), event, out)
            })?;
        }
    });
    let values: Vec<Ident> = (1..=arguments.len())
        .map(|n| local(&format!("arg{n}")))
        .collect();
    let decodes = arguments.iter().zip(&numbers).zip(&values);
    let decodes = decodes.map(|((argument, codec), value)| {
        let (name, ty) = (argument.plain_name(), text(argument.ty()));
        quote!(let #value = #private::CallEntry::parameter(#entry, &#ident::#codec(), #name, #ty)?;)
    });
    let mut passed = values.clone();
    if let Some(sender) = sender {
        passed.insert(sender.index, sender_name);
    }
    let awaited = function
        .signature
        .asyncness
        .as_ref()
        .map(|_| quote!(.await));
    let returned = local("returned");
    let texted = has_text_errors.then(|| {
        let (text, error_text) = (local("text"), error_text(private, &returned));
        quote! {
            let #returned = #private::chain::Returned(#returned);
            let #text = #error_text;
            let #returned = #private::value::TextErrors::with_text(#returned.0, #text);
        }
    });
    let result_name = local("result");
    let body = quote! {
        #(#decodes)*
        #sender_value
        #private::CallEntry::finish(#entry)?;
        let #returned: #output = #ident(#(#passed),*) #awaited;
        #texted
        #private::CallEntry::result(#entry, &#ident::#result_name(), #returned)
    };
    let over_items = over_items(&Called {
        private,
        visibility,
        deprecated: &deprecated.to_token_stream(),
        title: &title,
        arguments,
        adds: &adds,
        collected: &collected,
        result: &result,
        result_codec: &result_name,
        has_sender: sender.is_some(),
        is_async: awaited.is_some(),
    });
    let is_async = awaited.is_some();
    let (enter, start) = match is_async {
        false => (body.clone(), quote!(::core::option::Option::None)),
        true => (
            quote!(#private::block_on_call(__anyfork_run(#entry))),
            quote!(::core::option::Option::Some(__anyfork_start)),
        ),
    };
    let run = is_async.then(|| {
        quote! {
            async fn __anyfork_run(
                #entry: &mut #private::CallEntry<'_>,
            ) -> ::core::result::Result<(), #private::Refusal> {
                #body
            }

            fn __anyfork_start<'a>(
                #entry: &'a mut #private::CallEntry<'_>,
            ) -> #private::CallFuture<'a> {
                #private::boxed_call(__anyfork_run(#entry))
            }
        }
    });
    quote! {
        #[doc = #about]
        #attributes
        #[allow(clippy::exhaustive_enums, dead_code, non_camel_case_types)]
        #visibility enum #ident {}

        #attributes
        #[allow(clippy::used_underscore_binding, clippy::too_many_arguments, dead_code)]
        impl #ident {
            /// The name that the function is registered under.
            #visibility const NAME: &'static str = #name;

            #[doc(hidden)]
            fn __anyfork_fingerprint() -> u64 {
                static FINGERPRINT: #private::Fingerprint = #private::Fingerprint::new();
                #private::Fingerprint::get(
                    &FINGERPRINT,
                    #name,
                    &[#(#names),*],
                    &[
                        #(#private::Fingerprint::part::<#types>,)*
                        #private::Fingerprint::part::<#result>,
                        #private::Fingerprint::part::<#event>,
                    ],
                )
            }

            #(#parameter_codecs)*
            #result_codec
            #event_codec

            #[doc = #about_call]
            #deprecated
            #visibility fn call(
                #on: impl #private::On,
                #(#parameters),*
            ) -> #private::Call<#result, #event> {
                #[allow(unused_mut)]
                let mut #collected = #private::Arguments::new(Self::NAME);
                #(#adds)*
                #private::start_call(
                    #on,
                    Self::NAME,
                    Self::__anyfork_fingerprint(),
                    #is_async,
                    #collected,
                    |from| #private::Codec::decode(&Self::#result_name(), from),
                    #event_decoder,
                )
            }

            #over_items
        }

        #attributes
        #[allow(deprecated)]
        const _: () = {
            #[#private::linkme::distributed_slice(#private::CALLS)]
            #[linkme(crate = #private::linkme)]
            static __ANYFORK_CALL: #private::CallFunction = #private::CallFunction {
                name: #name,
                fingerprint: #ident::__anyfork_fingerprint,
                enter: __anyfork_enter,
                start: #start,
            };

            #run

            fn __anyfork_enter(
                #entry: &mut #private::CallEntry<'_>,
            ) -> ::core::result::Result<(), #private::Refusal> {
                #enter
            }
        };
    }
}
