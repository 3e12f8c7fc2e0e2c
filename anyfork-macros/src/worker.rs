//! `#[anyfork::worker]`: registers a function that runs in a process of its own, and
//! gives it a companion that starts it.
//! RUNS IN: the compiler

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::Type;

use crate::argument::{Argument, check_socket};
use crate::companion::{Companion, Kind};
use crate::errors::Errors;
use crate::function::{Function, bare};
use crate::keys::{CRATE, Keys, Known};
use crate::registered::{NAME, check_name, check_parameters, decode, local, registration};

const KNOWN: [Known; 4] = [
    NAME,
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

/// A worker that was checked.
struct Worker {
    private: TokenStream,
    function: Function,
    /// An expression: the name that the function is registered under.
    name: TokenStream,
    socket: Option<Type>,
    arguments: Vec<Argument>,
    /// The runtime of an `async fn`.
    flavor: Option<Flavor>,
}

enum Flavor {
    CurrentThread,
    MultiThread(Option<usize>),
}

/// The code beside the user's function.
pub(crate) fn worker(keys: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let keys = Keys::parse(keys, &KNOWN, &mut errors);
    let function = errors.ok(syn::parse2(item));
    let worker = function.map(|function| check(&keys, function, &mut errors));
    errors.or(|| worker.as_ref().map(expand).unwrap_or_default())
}

fn check(keys: &Keys, function: Function, errors: &mut Errors) -> Worker {
    function.refuse_second(errors);
    let parameters = check_parameters(&function, "a worker", errors);
    let (socket, arguments) = match parameters.split_first() {
        Some((socket, arguments)) if is_socket(&socket.ty) => {
            check_socket(socket, errors);
            (Some(Type::clone(&socket.ty)), arguments)
        }
        _ => (None, &*parameters),
    };
    Worker {
        private: keys.private(errors),
        name: check_name(keys, &function, errors),
        flavor: check_flavor(keys, &function, errors),
        socket,
        arguments: Argument::all(arguments, errors),
        function,
    }
}

/// Whether a first parameter of this type is the socket. The attribute sees only how
/// the type is written, so an alias is an argument.
fn is_socket(ty: &Type) -> bool {
    let Type::Path(ty) = bare(ty) else {
        return false;
    };
    let last = ty.path.segments.last();
    last.is_some_and(|last| last.ident == "UnixStream" || last.ident == "OwnedFd")
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
    let Worker {
        private,
        function,
        name,
        arguments,
        ..
    } = worker;
    let entry = local("entry");
    let body = body(worker, &entry);
    let registration = registration(private, function, &quote!(WORKERS), name, &entry, &body);
    let companion = Companion {
        kind: Kind::Worker,
        private,
        function,
        arguments,
        name,
    };
    let companion = companion.expand();
    quote!(#registration #companion)
}

/// Statements that decode the arguments, enter the worker, call the function, and
/// give its outcome.
///
/// All arguments are decoded before the worker is entered: until then an error goes
/// to the caller's launch.
fn body(worker: &Worker, entry: &Ident) -> TokenStream {
    let Worker {
        private, function, ..
    } = worker;
    let ident = &function.signature.ident;
    let (decode, values) = decode(&worker.arguments, entry);
    let asynchronous = worker.flavor.is_some();
    let enter = match asynchronous {
        true => quote!(enter_async),
        false => quote!(enter_with),
    };
    let socket = worker.socket.as_ref().map(|ty| (local("socket"), ty));
    let (enter, socket) = match socket {
        Some((socket, ty)) => (quote!(let #socket = #entry.#enter::<#ty>()?;), Some(socket)),
        None => (quote!(::core::mem::drop(#entry.enter()?);), None),
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
