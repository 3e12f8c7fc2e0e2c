//! The early template's sockets, and the process's generation.
//! RUNS IN: any
//!
//! [`boot`](crate::boot) forks the early template before `main` and leaves the
//! sockets here, and [`caller`](crate::caller) takes them. The generation tells both which of the
//! things in memory are this process's own.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;
use crate::sys::fd_identity;
use crate::sys::fd_identity::Identity;
use crate::sys::rights::Rights;
use crate::sys::{socket, tools};

/// The owner's ends of a template's sockets.
pub(crate) struct TemplateSockets {
    /// Takes the requests.
    pub(crate) control: OwnedFd,
    /// Gives the template's one reply: that it serves, or why not.
    pub(crate) reply: UnixStream,
    /// What `control` led to when it was made.
    pub(crate) identity: Option<Identity>,
}

impl TemplateSockets {
    pub(crate) fn new(control: OwnedFd, reply: UnixStream) -> TemplateSockets {
        TemplateSockets {
            identity: fd_identity::identity(control.as_fd()),
            control,
            reply,
        }
    }

    /// Ends the template, whoever else holds the control socket.
    pub(crate) fn shut_down(&self) {
        let _ = socket::shut_down(self.control.as_fd());
    }

    /// Whether the control socket is still open: a program that becomes a daemon may
    /// close all descriptors that it does not know.
    pub(crate) fn is_open(&self) -> bool {
        !fd_identity::leads_elsewhere(self.control.as_fd(), self.identity)
    }
}

/// The early template of the process that has this generation.
pub(crate) struct Early {
    pub(crate) generation: u32,
    /// The rights of the program when the template was forked. `None`: the template
    /// serves the program whatever becomes of them.
    pub(crate) rights: Option<Rights>,
    /// The sockets, or why there is no early template.
    pub(crate) sockets: Result<TemplateSockets, Error>,
}

/// Set before `main` if the program asks for an early template. Empty in templates
/// and in all processes that are forked from them.
pub(crate) static EARLY: OnceLock<Early> = OnceLock::new();

/// One more than the number of forks by this library between the process that was exec'ed
/// and this one.
///
/// The first is 1, not 0: so the linker puts it beside the other statics that every child
/// writes to, and the child has a page less of its own.
static GENERATION: AtomicU32 = AtomicU32::new(FIRST_GENERATION);

/// The generation of the process that was exec'ed.
pub(crate) const FIRST_GENERATION: u32 = 1;

/// The process's generation. What an object of another generation owns is not this
/// process's: the descriptors are closed, and their numbers may be others' now.
///
/// The pid would not do: a program that daemonises changes it and keeps its
/// descriptors.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Notes that this process has just been forked and keeps none of its parent's
/// descriptors.
pub(crate) fn mark_forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    tools::begin();
}
