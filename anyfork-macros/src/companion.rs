//! The companion of a worker or an init function: an empty type of the function's
//! name.
//! RUNS IN: the compiler
//!
//! A function has no name in the type namespace, so the two can stand side by side.
//! The compiler checks a start by the companion, and an editor shows the parameters.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

use crate::argument::Argument;
use crate::function::Function;

pub(crate) struct Companion<'a> {
    pub(crate) kind: Kind,
    pub(crate) private: &'a TokenStream,
    pub(crate) function: &'a Function,
    pub(crate) arguments: &'a [Argument],
    /// An expression: the name that the function is registered under.
    pub(crate) name: &'a TokenStream,
}

/// The kind of the function that it stands beside.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Worker,
    Init,
}

impl Companion<'_> {
    pub(crate) fn expand(&self) -> TokenStream {
        let Companion {
            private,
            function,
            arguments,
            name,
            ..
        } = self;
        let (visibility, ident) = (&function.visibility, &function.signature.ident);
        let (attributes, deprecated) = (function.inherited(), function.deprecated());
        // Documentation and editors show this name; the span keeps it apart from a
        // parameter of the same name.
        let process = Ident::new("process", Span::mixed_site());
        let parameters = arguments.iter().map(Argument::parameter);
        let method = self.method(&process);
        let texts: Vec<_> = arguments.iter().map(Argument::text).collect();
        let title = format!("{}({})", function.name(), texts.join(", "));
        let (about, about_method) = match self.kind {
            Kind::Worker => (
                format!("Starts the worker `{title}` in a process of its own."),
                format!("Starts the worker `{title}` in `process`."),
            ),
            Kind::Init => (
                format!("Prepares a process with `{title}`."),
                format!("Runs `{title}` in `process`, before anything that is added later."),
            ),
        };
        let Method {
            name: method,
            output,
            body,
        } = method;
        quote! {
            #[doc = #about]
            #attributes
            #[allow(clippy::exhaustive_enums, dead_code, non_camel_case_types)]
            #visibility enum #ident {}

            #attributes
            #[allow(clippy::used_underscore_binding, dead_code)]
            impl #ident {
                /// The name that the function is registered under.
                #visibility const NAME: &'static str = #name;

                #[doc = #about_method]
                #deprecated
                #visibility fn #method(
                    #process: #private::Process,
                    #(#parameters),*
                ) -> #output {
                    #body
                }
            }
        }
    }

    /// The method that starts a worker, or has an init function run.
    fn method(&self, process: &Ident) -> Method {
        let private = self.private;
        match self.kind {
            Kind::Worker => {
                let steps = self.steps(process, &quote!(#private::Process));
                Method {
                    name: quote!(run),
                    output: quote!(#private::Launch<#private::RunningWorker>),
                    body: quote! {
                        #(let #process = #steps;)*
                        #private::Process::run_companion::<Self>(#process, Self::NAME)
                    },
                }
            }
            Kind::Init => {
                let args = Ident::new("__args", Span::mixed_site());
                let steps = self.steps(&args, &quote!(#private::InitArgs));
                Method {
                    name: quote!(init),
                    output: quote!(#private::Process),
                    body: quote! {
                        let #args = #private::InitArgs::new();
                        #(let #args = #steps;)*
                        #private::InitArgs::init::<Self>(#args, #process, Self::NAME)
                    },
                }
            }
        }
    }

    /// Expressions of type `ty` that each add something to the variable `collector`:
    /// first the refusals, which make the launch fail, then the arguments.
    fn steps(&self, collector: &Ident, ty: &TokenStream) -> Vec<TokenStream> {
        let Companion {
            function,
            arguments,
            ..
        } = self;
        let refusals = arguments.windows(2).filter_map(|pair| {
            let condition = pair[0].skipped_before(&pair[1])?;
            let message = pair[0].skipped_message(&pair[1], &function.name());
            Some(quote! {
                if #condition { #ty::refuse(#collector, #message) } else { #collector }
            })
        });
        let sends = arguments
            .iter()
            .map(|argument| argument.send(ty, collector));
        refusals.chain(sends).collect()
    }
}

struct Method {
    name: TokenStream,
    output: TokenStream,
    body: TokenStream,
}
