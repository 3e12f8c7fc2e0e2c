//! [`Task`]: what a child finds in its region.
//! RUNS IN: template, child
//!
//! Plain data: numbers, and pointers into the region or to what never changes.

use std::ffi::c_char;
use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use crate::sys::missing;
use crate::sys::vm_child::region::Region;

/// How the child answers on its socket.
#[derive(Clone, Copy)]
pub(crate) struct Frames {
    /// The frame of a process that is about to execute its program: by its pid.
    pub(crate) ready: fn(u32) -> [u8; 8],
    /// What stands before the text of a failure: by its code, the number of the system's
    /// error, and the length of the text.
    pub(crate) failed: fn(u16, i32, usize) -> [u8; 12],
    /// The code of a system call that has failed, and of the exec.
    pub(crate) codes: [u16; 2],
}

/// A text in the region, or one that never changes.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    at: *const u8,
    len: usize,
}

impl Text {
    pub(crate) const fn fixed(text: &'static str) -> Text {
        Text {
            at: text.as_ptr(),
            len: text.len(),
        }
    }

    /// Lays a text out.
    pub(super) fn put(region: &mut Region, text: &str) -> io::Result<Text> {
        Ok(Text {
            at: region.put(text.as_bytes())?,
            len: text.len(),
        })
    }

    pub(super) fn slice(self) -> libc::iovec {
        libc::iovec {
            iov_base: self.at.cast_mut().cast(),
            iov_len: self.len,
        }
    }
}

/// What an error of a call says.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    /// What was tried.
    pub(crate) text: Text,
    /// Whether the program is named before it.
    pub(crate) names_program: bool,
}

/// A failure that does not happen.
pub(super) const NEVER: Failure = Failure {
    text: Text::fixed(""),
    names_program: true,
};

#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) number: libc::c_long,
    pub(super) args: [usize; 6],
    pub(super) failure: Failure,
    /// `EACCES` counts as `EPERM`, as in nice(3).
    pub(super) is_nice: bool,
    /// The texts for a kernel that does not have the call, or a sandbox that forbids it.
    pub(super) missing: Option<[Text; 2]>,
}

/// What the child finds in its region.
#[derive(Clone, Copy)]
pub(super) struct Task {
    pub(super) calls: Items<Call>,
    /// After the child has answered that it is ready.
    pub(super) last_calls: Items<Call>,
    /// The paths to try.
    pub(super) paths: Items<*const c_char>,
    pub(super) args: *const *const c_char,
    pub(super) variables: *const *const c_char,
    pub(super) socket: RawFd,
    pub(super) frames: Frames,
    pub(super) not_told: Failure,
    pub(super) exec: Failure,
    /// Stands before the texts that name the program.
    pub(super) start: Text,
    pub(super) errors: &'static [String],
    pub(super) pidfd_missing: [Text; 2],
}

/// Items in the region.
#[derive(Clone, Copy)]
pub(super) struct Items<T: Copy> {
    at: *const T,
    len: usize,
}

impl<T: Copy> Items<T> {
    pub(super) fn put(region: &mut Region, items: &[T]) -> io::Result<Items<T>> {
        Ok(Items {
            at: region.put(items)?,
            len: items.len(),
        })
    }

    /// # Safety
    ///
    /// The region is still there.
    pub(super) unsafe fn get(&self) -> &[T] {
        // SAFETY: so many items were laid out there.
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }
}

/// The texts of the system's errors, by their numbers. The C library looks them up in ways
/// that a child must not go.
pub(super) fn error_texts() -> &'static [String] {
    /// Number of the kernel's errors.
    const ERRORS: i32 = 134;
    static TEXTS: OnceLock<Vec<String>> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let text = |number| io::Error::from_raw_os_error(number).to_string();
        (0..ERRORS).map(text).collect()
    })
}

/// The texts for `ENOSYS` and for `EPERM`, of close_range and of pidfd_open.
pub(super) fn missing_texts() -> [[Text; 2]; 2] {
    static TEXTS: OnceLock<[[String; 2]; 2]> = OnceLock::new();
    let all = TEXTS.get_or_init(|| {
        [missing::CLOSE_RANGE, missing::PIDFD_OPEN].map(|call| {
            let text = |errno| call.error(io::Error::from_raw_os_error(errno)).to_string();
            [libc::ENOSYS, libc::EPERM].map(text)
        })
    });
    [0, 1].map(|call| [0, 1].map(|text| Text::fixed(&all[call][text])))
}
