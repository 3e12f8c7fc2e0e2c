//! Whose requests a template serves.
//! RUNS IN: program before main, template, spare, child
//!
//! Whoever holds a sending end of a control socket runs the program's functions, and
//! any external program, with the template's rights. So a template serves processes of
//! its own user and of root only: the kernel says with each message whose it is. A
//! program that has given up its user, and whoever takes over such a program, gains
//! nothing by the socket.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::sys::process_attrs;

/// Whether this template serves every owner, because the program asks for it.
static KEEPS_RIGHTS: AtomicBool = AtomicBool::new(false);

/// Notes that this process, and all templates that are forked from it, serve every
/// owner.
pub(crate) fn keep_rights() {
    KEEPS_RIGHTS.store(true, Ordering::Relaxed);
}

#[derive(Clone, Copy)]
pub(crate) struct Trust {
    /// The real user id of the template.
    user: u32,
    anybody: bool,
}

impl Trust {
    /// The trust of this process, as the user that it is now.
    pub(crate) fn now() -> Trust {
        Trust {
            user: process_attrs::user(),
            anybody: KEEPS_RIGHTS.load(Ordering::Relaxed),
        }
    }

    /// Refuses a sender of another user. `None` is one that the kernel does not tell.
    pub(crate) fn check(self, sender: Option<u32>) -> Result<()> {
        match sender {
            _ if self.anybody => Ok(()),
            Some(user) if user == 0 || user == self.user => Ok(()),
            Some(user) => Err(refused(format_args!(
                "the template of user {} does not serve user {user}, who would get rights that the \
                 program has given up; make the process after that, or annotate the program with \
                 `#[anyfork::early(keep_rights)]`",
                self.user
            ))),
            None => Err(refused(format_args!(
                "the template serves only senders that use a socket pair of anyfork's"
            ))),
        }
    }
}

fn refused(why: std::fmt::Arguments<'_>) -> Error {
    Error::io(why, io::Error::from_raw_os_error(libc::EPERM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_same_user_are_served() {
        let trust = Trust {
            user: 1000,
            anybody: false,
        };
        assert!(trust.check(Some(1000)).is_ok() && trust.check(Some(0)).is_ok());
        let error = trust.check(Some(1001)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        assert!(trust.check(None).is_err());
        let anybody = Trust {
            anybody: true,
            ..trust
        };
        assert!(anybody.check(Some(1001)).is_ok());
    }
}
