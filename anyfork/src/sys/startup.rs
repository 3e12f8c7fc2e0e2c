//! The moment before `main`: running there, and finding out whether a fork is
//! safe there.

use std::ffi::{CStr, CString, c_void};
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::{getegid, geteuid, getgid, getuid};

/// Runs `$function` before `main`.
///
/// The priority comes after std has its arguments (99) and before the
/// constructors of the program and of its libraries that ask for none, so that
/// few of them have opened descriptors or started threads.
macro_rules! before_main {
    ($function:path) => {
        ctor::declarative::ctor! {
            #[ctor(unsafe, anonymous, priority = 100)]
            fn constructor() {
                $function();
            }
        }
    };
}
pub(crate) use before_main;

/// How many threads this process has that can still run the program's code.
///
/// One that was joined is seen for a while longer, on its way out of the kernel:
/// it does not count. Without `/proc` the kernel only tells one thread from
/// several.
pub(crate) fn threads() -> io::Result<usize> {
    let stat = match fs::read_to_string("/proc/self/stat") {
        Ok(stat) => stat,
        Err(error) => return is_alone().then_some(1).ok_or(error),
    };
    match stat_field(&stat, 20) {
        Some(1) => Ok(1),
        Some(_) => running_threads(),
        None => Err(io::Error::other("/proc/self/stat has no count of threads")),
    }
}

/// Counts the threads that have not begun to exit.
fn running_threads() -> io::Result<usize> {
    /// `PF_EXITING` of the kernel.
    const EXITING: u64 = 4;
    let threads = fs::read_dir("/proc/self/task")?;
    let runs = |thread: &io::Result<fs::DirEntry>| {
        let Ok(thread) = thread else { return true };
        // One that has no file any more is gone.
        let stat = fs::read_to_string(thread.path().join("stat"));
        stat.is_ok_and(|stat| stat_field(&stat, 9).is_none_or(|flags| flags & EXITING == 0))
    };
    Ok(threads.filter(runs).count())
}

/// A field of a `stat` file by the number that proc(5) gives it, from 3 on.
pub(crate) fn stat_field(stat: &str, number: usize) -> Option<u64> {
    // The second field may hold spaces and parentheses, the rest may not.
    let fields = stat.rsplit(") ").next()?;
    fields.split_whitespace().nth(number - 3)?.parse().ok()
}

/// Whether this process has one thread: only then it can be told to share
/// nothing with others, which changes nothing (unshare(2)).
pub(crate) fn is_alone() -> bool {
    // SAFETY: what is asked for is so already, or refused.
    unsafe { libc::unshare(libc::CLONE_THREAD) == 0 }
}

/// Whether the program runs with more rights than its caller (setuid, file
/// capabilities; `AT_SECURE`, getauxval(3)).
pub(crate) fn runs_with_raised_rights() -> bool {
    // SAFETY: getauxval takes any number and has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whether whoever made this socket pair had the rights that this process was
/// raised to: a program that was raised may exec itself, its caller may not use
/// it (`SO_PEERCRED`, socket(7)).
pub(crate) fn trusts(socket: BorrowedFd<'_>) -> bool {
    let Ok(peer) = getsockopt(&socket, PeerCredentials) else {
        return false;
    };
    let (uid, gid) = (geteuid(), getegid());
    let raised = uid != getuid() || gid != getgid();
    raised && (peer.uid(), peer.gid()) == (uid.as_raw(), gid.as_raw())
}

/// Takes a variable out of the environment, for good: its bytes are erased,
/// too, which else `/proc/PID/environ` would go on showing (environ(7)).
///
/// For the time before `main`, in a process with one thread.
pub(crate) fn take_variable(name: &str) -> Option<String> {
    let c_name = CString::new(name).ok()?;
    // SAFETY: the name is a C string.
    let value = unsafe { libc::getenv(c_name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: getenv gives a C string.
    let bytes = unsafe { CStr::from_ptr(value) }.to_bytes();
    let (len, text) = (bytes.len(), str::from_utf8(bytes).ok().map(str::to_owned));
    // SAFETY: nobody else reads the environment now, and no reference is kept.
    unsafe { libc::unsetenv(c_name.as_ptr()) };
    // SAFETY: `name=` stands before the `len` bytes of the value, in memory
    // that is writable and that nobody refers to any more.
    unsafe {
        value
            .sub(name.len() + 1)
            .write_bytes(0, name.len() + 1 + len)
    };
    text
}

/// Whether this code is part of the program's own file, and not of a library
/// that may have been loaded by `dlopen(3)` long after `main` began.
pub(crate) fn is_main_program() -> bool {
    /// Tells whether the first object, which is the program, holds `wanted`.
    unsafe extern "C" fn visit(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        wanted: *mut c_void,
    ) -> libc::c_int {
        // SAFETY: the loader passes a valid object for the time of the call.
        let info = unsafe { &*info };
        let headers = match info.dlpi_phnum {
            0 => &[],
            // SAFETY: the object says that it has so many program headers.
            n => unsafe { std::slice::from_raw_parts(info.dlpi_phdr, n.into()) },
        };
        let holds = headers.iter().any(|header| {
            let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
            let offset = (wanted as u64).wrapping_sub(start);
            header.p_type == libc::PT_LOAD && offset < header.p_memsz
        });
        // Any other value than 0 ends the iteration.
        if holds { 1 } else { 2 }
    }
    let here = ptr::from_ref(&MARK).cast_mut().cast::<c_void>();
    // SAFETY: `visit` only reads what it is given.
    unsafe { libc::dl_iterate_phdr(Some(visit), here) == 1 }
}

/// Lies in the object that this crate is linked into.
static MARK: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_the_main_program_and_has_threads() {
        assert!(is_main_program());
        assert!(!runs_with_raised_rights());
        // This test's own thread, beside the one that waits for it.
        let counted = (threads().unwrap(), is_alone());
        assert!(counted.0 >= 2 && !counted.1, "{counted:?}");
    }

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "17 (a) b (c)) S 1 2 3 4 5 64 7 8 9 10 11 12 13 14 15 16 3 0";
        assert_eq!(stat_field(stat, 9), Some(64));
        assert_eq!(stat_field(stat, 20), Some(3));
        assert_eq!(stat_field("", 20), None);
    }
}
