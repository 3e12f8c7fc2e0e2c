//! The environment (environ(7)), for processes with one thread.
//! RUNS IN: program before main, child

use std::env;
use std::ffi::{CStr, CString, OsStr, c_char};
use std::io;
use std::ptr;

use crate::sys::threads::OneThread;

/// Whether there can be a variable with this name and value.
pub(crate) fn is_possible(name: &OsStr, value: Option<&OsStr>) -> bool {
    let bytes = name.as_encoded_bytes();
    let has_nul = |text: &OsStr| text.as_encoded_bytes().contains(&0);
    !bytes.is_empty() && !bytes.contains(&b'=') && !has_nul(name) && !value.is_some_and(has_nul)
}

/// Sets or removes a variable of the environment (setenv(3)). One that cannot be is not
/// there to be removed.
pub(crate) fn set_variable(_: OneThread, name: &OsStr, value: Option<&OsStr>) -> io::Result<()> {
    if !is_possible(name, value) {
        return match value {
            Some(_) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
            None => Ok(()),
        };
    }
    match value {
        // SAFETY: the witness says that the process has one thread.
        Some(value) => unsafe { env::set_var(name, value) },
        // SAFETY: as above.
        None => unsafe { env::remove_var(name) },
    }
    Ok(())
}

/// Gives the process these variables in place of all others (environ(7)). Each is
/// [possible](is_possible), and none is there twice.
///
/// The memory is the environment's for good.
pub(crate) fn replace<'a>(_: OneThread, variables: impl Iterator<Item = (&'a OsStr, &'a OsStr)>) {
    let entry = |(name, value): (&OsStr, &OsStr)| {
        let bytes = [
            name.as_encoded_bytes(),
            b"=",
            value.as_encoded_bytes(),
            b"\0",
        ]
        .concat();
        Vec::leak(bytes).as_mut_ptr().cast::<c_char>()
    };
    let entries = variables.map(entry).chain([ptr::null_mut()]);
    let entries: Vec<*mut c_char> = entries.collect();
    let entries = Vec::leak(entries).as_mut_ptr();
    // SAFETY: nobody else reads or writes it, as the witness says; it points to entries
    // that stay, of which the last is null.
    unsafe { environ = entries };
}

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

/// Removes a variable for good and returns its value (unsetenv(3)). Its bytes are
/// erased, too, which `/proc/PID/environ` would otherwise go on showing.
///
/// For the time before `main`, when nobody has a reference to the environment.
pub(crate) fn take_variable(_: OneThread, name: &str) -> Option<String> {
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
