//! [`Resource`]: what `rlimit` limits.
//! RUNS IN: caller, child
//!
//! A number of the system with a name.

use std::fmt;

/// A resource of a process that has limits (getrlimit(2)), for
/// [`Process::rlimit`](crate::Process::rlimit) and
/// [`Command::rlimit`](crate::Command::rlimit).
///
/// It can also be made from the number in the C library's header, whose type is `u32` in glibc's
/// and `i32` in musl's.
///
/// ```
/// use anyfork::Resource;
///
/// assert_eq!(Resource::NOFILE.to_string(), "RLIMIT_NOFILE");
/// assert_eq!(Resource::from(libc::RLIMIT_CORE), Resource::CORE);
/// assert_eq!(Resource::from(99).to_string(), "resource 99");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resource(u32);

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident = $number:ident;)*) => {
        impl Resource {
            $(
                $(#[$doc])*
                pub const $name: Resource = Resource(libc::$number as u32);
            )*

            /// The name in getrlimit(2).
            fn name(self) -> Option<&'static str> {
                match self {
                    $(Resource::$name => Some(stringify!($number)),)*
                    _ => None,
                }
            }
        }

        #[cfg(test)]
        const ALL: &[Resource] = &[$(Resource::$name),*];
    };
}

resources! {
    /// The address space, in bytes.
    AS = RLIMIT_AS;
    /// The size of a core file, in bytes; 0 for none.
    CORE = RLIMIT_CORE;
    /// The CPU time, in seconds.
    CPU = RLIMIT_CPU;
    /// The data segment, in bytes.
    DATA = RLIMIT_DATA;
    /// The size of a file that is written, in bytes.
    FSIZE = RLIMIT_FSIZE;
    /// The number of file locks. Ignored since Linux 2.4.25.
    LOCKS = RLIMIT_LOCKS;
    /// The memory that is locked, in bytes.
    MEMLOCK = RLIMIT_MEMLOCK;
    /// The POSIX message queues of the user, in bytes.
    MSGQUEUE = RLIMIT_MSGQUEUE;
    /// The lowest nice value that may be set: 20 minus the limit.
    NICE = RLIMIT_NICE;
    /// The highest number of a descriptor, plus one.
    NOFILE = RLIMIT_NOFILE;
    /// The number of threads of the user.
    NPROC = RLIMIT_NPROC;
    /// The resident set, in bytes. Ignored since Linux 2.4.30.
    RSS = RLIMIT_RSS;
    /// The highest real-time priority that may be set.
    RTPRIO = RLIMIT_RTPRIO;
    /// The CPU time under real-time scheduling without a blocking system call, in microseconds.
    RTTIME = RLIMIT_RTTIME;
    /// The number of signals that are queued for the user.
    SIGPENDING = RLIMIT_SIGPENDING;
    /// The stack of the main thread, in bytes.
    STACK = RLIMIT_STACK;
}

impl Resource {
    /// The number that the system calls take.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// A number from glibc's headers.
impl From<u32> for Resource {
    fn from(number: u32) -> Resource {
        Resource(number)
    }
}

/// A number from musl's headers. The kernel refuses a negative one.
impl From<i32> for Resource {
    fn from(number: i32) -> Resource {
        Resource(number.cast_unsigned())
    }
}

/// The name in getrlimit(2), `RLIMIT_NOFILE`; or `resource 99`.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "resource {}", self.0),
        }
    }
}

/// The same text as [`Display`](fmt::Display).
impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_manual() {
        assert_eq!(format!("{:?}", Resource::NOFILE), "RLIMIT_NOFILE");
        assert_eq!(Resource::from(-1).to_string(), "resource 4294967295");
        for resource in ALL {
            assert!(resource.to_string().starts_with("RLIMIT_"));
            let number = resource.number();
            assert_eq!(Resource::from(number), *resource);
            assert_eq!(Resource::from(number.cast_signed()), *resource);
        }
    }
}
