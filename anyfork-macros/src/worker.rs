//! `#[anyfork::worker]`: registers a function that runs in a process of its
//! own, and gives it a companion that starts it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::{FnArg, LitStr, PatType, Type};

use crate::argument::{Argument, check_socket};
use crate::companion::Companion;
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
                errors.at(
                    receiver,
                    "methods are not supported: a worker is a free function",
                );
            }
        }
    }
    let (socket, arguments) = match parameters.split_first() {
        Some((socket, arguments)) => {
            check_socket(socket, errors);
            (
                Some(Type::clone(&socket.ty)),
                Argument::all(arguments, errors),
            )
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
            errors.at(
                name,
                format!("`{name}` is for an `async fn`: this worker has no runtime"),
            );
        }
        return None;
    };
    if !cfg!(feature = "tokio") {
        errors.at(asynchronous, "async workers need anyfork's feature `tokio`");
    }
    let count = threads.and_then(|key| {
        let count = key.integer(errors)?;
        match count.base10_parse() {
            Ok(0) => errors.at(count, "a pool has at least one thread"),
            Ok(count) => return Some(count),
            Err(error) => errors.add(error),
        }
        None
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
            errors.at(
                &key.name,
                "`worker_threads` needs `flavor = \"multi_thread\"`",
            );
            None
        }
    }
}

fn expand(worker: &Worker) -> TokenStream {
    let name = match &worker.name {
        Some(name) => name.to_token_stream(),
        None => worker.function.path(),
    };
    let registration = registration(worker, &name);
    let companion = Companion {
        private: &worker.private,
        function: &worker.function,
        arguments: &worker.arguments,
        name: &name,
    };
    let companion = companion.expand();
    quote!(#registration #companion)
}

fn registration(worker: &Worker, name: &TokenStream) -> TokenStream {
    let Worker {
        private, function, ..
    } = worker;
    let attributes = function.inherited();
    let call = local("call");
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
    let values: Vec<_> = (1..=worker.arguments.len())
        .map(|n| local(&format!("arg{n}")))
        .collect();
    let decoded = worker
        .arguments
        .iter()
        .map(|argument| argument.receive(call));
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
        let #runtime = #private::runtime(#private::Flavor::#flavor)?;
        #runtime.block_on(async { #decode #enter #outcome })
    }
}

/// A variable that no name of the user's can meet.
fn local(name: &str) -> Ident {
    format_ident!("__{name}", span = Span::mixed_site())
}
