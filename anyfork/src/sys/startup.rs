//! Running before `main`, and how the program was started.
//! RUNS IN: program before main, caller

use std::ffi::{CStr, OsStr, OsString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// Whether the program runs with more rights than its caller (setuid, file
/// capabilities; `AT_SECURE`, getauxval(3)).
pub(crate) fn runs_with_raised_rights() -> bool {
    // SAFETY: getauxval takes any number and has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The path that this program was executed as, for systems without `/proc`
/// (`AT_EXECFN`, getauxval(3)). Relative to the directory that the program
/// started in.
pub(crate) fn executed_as() -> Option<OsString> {
    // SAFETY: getauxval takes any number.
    let name = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const libc::c_char;
    if name.is_null() {
        return None;
    }
    // SAFETY: the kernel put a C string there, which stays.
    let name = unsafe { CStr::from_ptr(name) };
    Some(OsStr::from_bytes(name.to_bytes()).to_owned())
}

/// Whether this code is part of the program's own file, and not of a library that
/// dlopen(3) may have loaded long after `main` began (dl_iterate_phdr(3)).
pub(crate) fn is_main_program() -> bool {
    /// Whether the first object, which is the program, holds `wanted`.
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
    fn a_test_is_the_main_program() {
        assert!(is_main_program());
        assert!(!runs_with_raised_rights());
    }
}
