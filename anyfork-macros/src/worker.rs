//! `#[anyfork::worker]`: registers a function that runs in a process of its
//! own, and gives it a companion that starts it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::{FnArg, LitStr, PatType, Type};

use crate::argument::{Argument, check_socket};
use crate::errors::Errors;
use crate::function::Function;
use crate::keys::{CRATE, Keys, Known};

const KNOWN: [Known; 4] = [
    Known {
        name: "name",
        usage: "name = \"…\"",
    },
    CRATE,
    Known {
        name: "flavor",
        usage: "flavor = \"current_thread\" | \"multi_thread\"",
    },
    Known {
        name: "worker_threads",
        usage: "worker_threads = N",
    },
];

/// What is to be registered: nothing about it is wrong.
struct Worker {
    private: TokenStream,
    function: Function,
    name: Option<LitStr>,
    socket: Option<Type>,
    arguments: Vec<Argument>,
    /// Of an `async fn`.
    flavor: Option<Flavor>,
}

enum Flavor {
    CurrentThread,
    MultiThread(Option<usize>),
}

/// What stands beside the user's function.
pub(crate) fn worker(keys: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let keys = Keys::parse(keys, &KNOWN, &mut errors);
    let function = errors.ok(syn::parse2(item));
    let worker = function.map(|function| check(&keys, function, &mut errors));
    errors.or(|| worker.as_ref().map(expand).unwrap_or_default())
}

fn check(keys: &Keys, function: Function, errors: &mut Errors) -> Worker {
    function.refuse_special(errors);
    let mut parameters: Vec<&PatType> = Vec::new();
    for input in &function.signature.inputs {
        match input {
            FnArg::Typed(parameter) => parameters.push(parameter),
            FnArg::Receiver(receiver) => {
                errors.at(receiver, "methods are not supported: a worker is a free function");
            }
        }
    }
    let (socket, arguments) = match parameters.split_first() {
        Some((socket, arguments)) => {
            check_socket(socket, errors);
            (Some(Type::clone(&socket.ty)), Argument::all(arguments, errors))
        }
        None => (None, Vec::new()),
    };
    Worker {
        private: keys.private(errors),
        name: check_name(keys, errors),
        flavor: check_flavor(keys, &function, errors),
        socket,
        arguments,
        function,
    }
}

fn check_name(keys: &Keys, errors: &mut Errors) -> Option<LitStr> {
    let name = keys.find("name")?.string(errors)?;
    if name.value().is_empty() {
        errors.at(name, "a worker's name cannot be empty");
    }
    Some(name.clone())
}

fn check_flavor(keys: &Keys, function: &Function, errors: &mut Errors) -> Option<Flavor> {
    let (flavor, threads) = (keys.find("flavor"), keys.find("worker_threads"));
    let Some(asynchronous) = &function.signature.asyncness else {
        for key in flavor.into_iter().chain(threads) {
            let name = &key.name;
            errors.at(name, format!("`{name}` is for an `async fn`: this worker has no runtime"));
        }
        return None;
    };
    if !cfg!(feature = "tokio") {
        errors.at(asynchronous, "async workers need anyfork's feature `tokio`");
    }
    let count = threads.and_then(|key| match key.integer(errors)?.base10_parse() {
        Ok(0) | Err(_) => key.refuse(errors),
        Ok(count) => Some(count),
    });
    let multi = match flavor {
        None => false,
        Some(key) => match key.string(errors)?.value().as_str() {
            "current_thread" => false,
            "multi_thread" => true,
            _ => return key.refuse(errors),
        },
    };
    match (multi, threads) {
        (true, _) => Some(Flavor::MultiThread(count)),
        (false, None) => Some(Flavor::CurrentThread),
        (false, Some(key)) => {
            errors.at(&key.name, "`worker_threads` needs `flavor = \"multi_thread\"`");
            None
        }
    }
}

fn expand(worker: &Worker) -> TokenStream {
    let registration = registration(worker);
    let companion = companion(worker);
    quote!(#registration #companion)
}

fn registration(worker: &Worker) -> TokenStream {
    let Worker {
        private, function, ..
    } = worker;
    let attributes = function.inherited();
    let call = local("call");
    let name = name(worker);
    let body = body(worker, &call);
    quote! {
        #attributes
        #[allow(deprecated)]
        const _: () = {
            #[#private::linkme::distributed_slice(#private::WORKERS)]
            #[linkme(crate = #private::linkme)]
            static __ANYFORK_WORKER: #private::Worker = #private::Worker {
                name: #name,
                enter: __anyfork_enter,
            };

            fn __anyfork_enter(#call: &mut #private::Call) -> #private::Result<#private::Outcome> {
                #body
            }
        };
    }
}

/// Decodes the arguments, enters, calls the function, and reports.
///
/// All arguments are decoded before the worker is entered, because what fails
/// until then fails at the caller.
fn body(worker: &Worker, call: &Ident) -> TokenStream {
    let Worker {
        private, function, ..
    } = worker;
    let ident = &function.signature.ident;
    let values: Vec<_> = (1..=worker.arguments.len()).map(|n| local(&format!("arg{n}"))).collect();
    let decoded = worker.arguments.iter().map(|argument| argument.receive(call));
    let decode = quote!(#(let #values = #decoded;)*);
    let asynchronous = worker.flavor.is_some();
    let enter = match asynchronous {
        true => quote!(enter_async),
        false => quote!(enter_with),
    };
    let socket = worker.socket.as_ref().map(|ty| (local("socket"), ty));
    let (enter, socket) = match socket {
        Some((socket, ty)) => (quote!(let #socket = #call.#enter::<#ty>()?;), Some(socket)),
        None => (quote!(::core::mem::drop(#call.enter()?);), None),
    };
    let parameters = socket.iter().chain(&values);
    let awaited = asynchronous.then(|| quote!(.await));
    let outcome = function.outcome(private, &quote!(#ident(#(#parameters),*) #awaited));
    let outcome = match function.diverges() {
        true => outcome,
        false => quote!(::core::result::Result::Ok(#outcome)),
    };
    let Some(flavor) = &worker.flavor else {
        return quote!(#decode #enter #outcome);
    };
    let flavor = match flavor {
        Flavor::CurrentThread => quote!(CurrentThread),
        Flavor::MultiThread(None) => quote!(MultiThread(::core::option::Option::None)),
        Flavor::MultiThread(Some(n)) => quote!(MultiThread(::core::option::Option::Some(#n))),
    };
    let runtime = local("runtime");
    quote! {
        #decode
        let #runtime = #private::runtime(#private::Flavor::#flavor)?;
        #runtime.block_on(async { #enter #outcome })
    }
}

/// The function's name in the type namespace, where a function has none.
fn companion(worker: &Worker) -> TokenStream {
    let Worker {
        private,
        function,
        arguments,
        ..
    } = worker;
    let (visibility, ident) = (&function.visibility, &function.signature.ident);
    let (attributes, deprecated) = (function.inherited(), function.deprecated());
    let name = name(worker);
    // For readers and editors, which show it without the underscores.
    let process = Ident::new("process", Span::mixed_site());
    let parameters = arguments.iter().map(Argument::parameter);
    let refusals = arguments.windows(2).filter_map(|pair| {
        let condition = pair[0].skipped_before(&pair[1])?;
        let message = pair[0].skipped_message(&pair[1], &function.name());
        Some(quote! {
            if #condition { #private::Process::refuse(#process, #message) } else { #process }
        })
    });
    let sends = arguments.iter().map(|argument| argument.send(private, &process));
    let steps = refusals.chain(sends);
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

fn name(worker: &Worker) -> TokenStream {
    match &worker.name {
        Some(name) => name.to_token_stream(),
        None => worker.function.path(),
    }
}

/// A variable that no name of the user's can meet.
fn local(name: &str) -> Ident {
    format_ident!("__{name}", span = Span::mixed_site())
}
