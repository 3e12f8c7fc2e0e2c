//! What `run`, `init` and `send_fd` take, with errors that say what to write instead.
//! RUNS IN: caller
//!
//! The traits are `AsRef<str>` and `Into<OwnedFd>` under other names: only the compiler's
//! errors differ.

use std::os::fd::OwnedFd;

/// The name of a registered function: whatever is `AsRef<str>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the name of a function",
    label = "give the function's name here: `\"greet\"`, or `greet::NAME`",
    note = "or start it by its companion, whose arguments the compiler checks: `greet::run(process, …)`, `load::init(process, …)`"
)]
pub trait Name {
    /// The text.
    #[doc(hidden)]
    fn to_name(&self) -> String;
}

#[diagnostic::do_not_recommend]
impl<T: AsRef<str> + ?Sized> Name for T {
    fn to_name(&self) -> String {
        self.as_ref().to_owned()
    }
}

/// Whatever owns a descriptor and is `Into<OwnedFd>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` owns no descriptor that could be sent",
    label = "give the owner of a descriptor: a file, a socket, a pipe, an `OwnedFd`",
    note = "ownership moves to the new process: give the value itself, or keep one with `try_clone()?`; sockets of tokio's have `into_std()?`"
)]
pub trait Descriptor {
    /// The descriptor.
    #[doc(hidden)]
    fn into_descriptor(self) -> OwnedFd;
}

#[diagnostic::do_not_recommend]
impl<T: Into<OwnedFd>> Descriptor for T {
    fn into_descriptor(self) -> OwnedFd {
        self.into()
    }
}
