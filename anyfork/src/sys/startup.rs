//! Running before `main`, and how the program was started.
//! RUNS IN: program before main, caller

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use nix::unistd::{getegid, geteuid, getgid, getuid};

/// Whether the program runs with more rights than its caller (setuid, file
/// capabilities; `AT_SECURE`, getauxval(3)).
pub(crate) fn runs_with_raised_rights() -> bool {
    // SAFETY: getauxval takes any number and has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whether the program runs as another user or group than its caller (setuid, setgid),
/// who may be the less trusted of the two.
pub(crate) fn runs_as_another() -> bool {
    geteuid() != getuid() || getegid() != getgid()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_the_rights_of_its_caller() {
        assert!(!runs_with_raised_rights() && !runs_as_another());
    }
}
