//! The moment before `main`: running there, and finding out whether a fork is
//! safe there.

use std::ffi::c_void;
use std::fs;
use std::io;
use std::ptr;

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

/// How many threads this process has.
pub(crate) fn threads() -> io::Result<usize> {
    // The second field may hold spaces and parentheses, the rest may not.
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let threads = fields.split(' ').nth(17).and_then(|n| n.parse().ok());
    threads.ok_or_else(|| io::Error::other("/proc/self/stat has no count of threads"))
}

/// Whether the program runs with more rights than its caller (setuid, file
/// capabilities; `AT_SECURE`, getauxval(3)).
pub(crate) fn runs_with_raised_rights() -> bool {
    // SAFETY: getauxval takes any number and has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
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
        let before = threads().unwrap();
        assert!(before >= 1);
    }
}
