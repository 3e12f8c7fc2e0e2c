//! The companion of a registered function: the function's name in the type
//! namespace, where a function has none. It lets the compiler check a start,
//! and an editor show the parameters.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

use crate::argument::Argument;
use crate::function::Function;

pub(crate) struct Companion<'a> {
    pub(crate) private: &'a TokenStream,
    pub(crate) function: &'a Function,
    pub(crate) arguments: &'a [Argument],
    /// An expression: the name that the function is registered under.
    pub(crate) name: &'a TokenStream,
}

impl Companion<'_> {
    pub(crate) fn expand(&self) -> TokenStream {
        let Companion {
            private,
            function,
            arguments,
            name,
        } = self;
        let (visibility, ident) = (&function.visibility, &function.signature.ident);
        let (attributes, deprecated) = (function.inherited(), function.deprecated());
        // Its name is for readers and editors; the span keeps it apart from a
        // parameter that is also called so.
        let process = Ident::new("process", Span::mixed_site());
        let parameters = arguments.iter().map(Argument::parameter);
        let steps = self.steps(&process);
        let texts: Vec<_> = arguments.iter().map(Argument::text).collect();
        let title = format!("{}({})", function.name(), texts.join(", "));
        let about = format!("Starts the worker `{title}` in a process of its own.");
        let about_run = format!("Starts the worker `{title}` in `process`.");
        quote! {
            #[doc = #about]
            #attributes
            #[allow(clippy::exhaustive_enums, dead_code, non_camel_case_types)]
            #visibility enum #ident {}

            #attributes
            #[allow(clippy::used_underscore_binding, dead_code)]
            impl #ident {
                /// The name that the worker is registered under.
                #visibility const NAME: &'static str = #name;

                #[doc = #about_run]
                #deprecated
                #visibility fn run(
                    #process: #private::Process,
                    #(#parameters),*
                ) -> #private::Launch<#private::RunningWorker> {
                    #(let #process = #steps;)*
                    #private::Process::run(#process, Self::NAME)
                }
            }
        }
    }

    /// Expressions that each give `process` with one thing more: what makes
    /// the launch fail, and the arguments.
    fn steps(&self, process: &Ident) -> Vec<TokenStream> {
        let Companion {
            private,
            function,
            arguments,
            ..
        } = self;
        let refusals = arguments.windows(2).filter_map(|pair| {
            let condition = pair[0].skipped_before(&pair[1])?;
            let message = pair[0].skipped_message(&pair[1], &function.name());
            Some(quote! {
                if #condition { #private::Process::refuse(#process, #message) } else { #process }
            })
        });
        let sends = arguments
            .iter()
            .map(|argument| argument.send(private, process));
        refusals.chain(sends).collect()
    }
}
