//! Where the early template's owner end lies between the moment before `main`,
//! when `template` forks it, and the first use by `process`; and which of the
//! things in memory are still this process's own.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;
use crate::sys::fd_identity;
use crate::sys::fd_identity::Identity;

/// The owner's end of a template.
pub(crate) struct TemplateSockets {
    /// Requests go here.
    pub(crate) control: OwnedFd,
    /// Its one answer: that it serves, or why not.
    pub(crate) reply: UnixStream,
    /// What `control` was when it was made.
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

    /// Whether the control socket is still there: a program that becomes a daemon
    /// may close all descriptors that it does not know.
    pub(crate) fn is_open(&self) -> bool {
        fd_identity::identity(self.control.as_fd()) == self.identity
    }
}

/// The early template, or why there is none, as the process of a generation
/// has it.
pub(crate) struct Early {
    pub(crate) generation: u32,
    pub(crate) end: Result<TemplateSockets, Error>,
}

/// What the boot has done. Empty if it had nothing to do, and in templates and
/// all that is forked from them.
pub(crate) static EARLY: OnceLock<Early> = OnceLock::new();

/// How many forks of this library's lie between this process and the one that
/// was exec'ed.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The process's generation. What was made in another one is not ours: its
/// descriptors are closed, and their numbers may be somebody else's now.
///
/// Not the pid: a program that daemonises keeps its descriptors.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Notes that this process has just been forked and keeps no descriptor of its
/// parent's.
pub(crate) fn mark_forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
