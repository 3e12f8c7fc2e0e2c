//! System calls that a kernel may be too old for, or that a sandbox hides.
//! RUNS IN: any
//!
//! "Function not implemented" alone does not say which function. The calls that are younger
//! than the kernels that programs still meet name themselves in their errors, with the
//! kernel that has them.

use std::error;
use std::fmt;
use std::io;

/// A system call by its name in the manual, and the first Linux that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    name: &'static str,
    since: &'static str,
    /// Whether the kernel itself never answers EPERM. Then that error is a sandbox's: many
    /// refuse so what they do not know.
    never_eperm: bool,
}

pub(crate) const CLOSE_RANGE: Call = Call {
    name: "close_range",
    since: "5.9",
    never_eperm: true,
};

/// `F_GETFD` and the like, which need no rights.
pub(crate) const FCNTL: Call = Call {
    name: "fcntl",
    since: "1.0",
    never_eperm: true,
};

/// `MADV_WIPEONFORK`.
#[cfg(feature = "pool")]
pub(crate) const MADVISE: Call = Call {
    name: "madvise",
    since: "4.14",
    never_eperm: true,
};

pub(crate) const MEMFD_CREATE: Call = Call {
    name: "memfd_create",
    since: "3.17",
    never_eperm: true,
};

pub(crate) const PIDFD_OPEN: Call = Call {
    name: "pidfd_open",
    since: "5.3",
    never_eperm: true,
};

pub(crate) const PIDFD_SEND_SIGNAL: Call = Call {
    name: "pidfd_send_signal",
    since: "5.1",
    never_eperm: false,
};

impl Call {
    /// The error of this call, named if there is no such call here.
    pub(crate) fn error(self, error: io::Error) -> io::Error {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => io::Error::new(error.kind(), Missing(self, libc::ENOSYS)),
            Some(libc::EPERM) if self.never_eperm => {
                io::Error::new(error.kind(), Missing(self, libc::EPERM))
            }
            _ => error,
        }
    }

    /// The [`error`](Call::error) that this thread's last call has left in `errno`.
    pub(crate) fn last_error(self) -> io::Error {
        self.error(io::Error::last_os_error())
    }
}

/// There is no such call here, and its number says so.
#[derive(Clone, Copy, Debug)]
struct Missing(Call, i32);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing(Call { name, since, .. }, errno) = self;
        match *errno {
            libc::ENOSYS => write!(
                f,
                "{name}(2) is missing: Linux {since} or newer has it, unless a sandbox hides it"
            ),
            _ => write!(
                f,
                "{name}(2) is forbidden: allow it in the sandbox (seccomp) that this runs in"
            ),
        }
    }
}

impl error::Error for Missing {}

/// The system's error behind one that names a missing call; any other error as it is. What
/// is told of it is its text.
pub(crate) fn system_error(error: io::Error) -> io::Error {
    let missing = error.get_ref().and_then(|it| it.downcast_ref::<Missing>());
    match missing {
        Some(Missing(_, errno)) => io::Error::from_raw_os_error(*errno),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_call_names_itself_and_keeps_its_number() {
        let missing = PIDFD_OPEN.error(io::Error::from_raw_os_error(libc::ENOSYS));
        let text = "pidfd_open(2) is missing: Linux 5.3 or newer has it";
        assert!(missing.to_string().starts_with(text), "{missing}");
        assert_eq!(missing.kind(), io::ErrorKind::Unsupported);
        assert_eq!(system_error(missing).raw_os_error(), Some(libc::ENOSYS));

        let forbidden = CLOSE_RANGE.error(io::Error::from_raw_os_error(libc::EPERM));
        assert!(
            forbidden
                .to_string()
                .starts_with("close_range(2) is forbidden")
        );
        assert_eq!(system_error(forbidden).raw_os_error(), Some(libc::EPERM));

        for (call, errno) in [(PIDFD_OPEN, libc::EMFILE), (PIDFD_SEND_SIGNAL, libc::EPERM)] {
            let error = system_error(call.error(io::Error::from_raw_os_error(errno)));
            assert_eq!(error.raw_os_error(), Some(errno));
        }
    }
}
