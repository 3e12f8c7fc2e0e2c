//! The environment (environ(7)), for processes with one thread.
//! RUNS IN: program before main, child

use std::env;
use std::ffi::{CStr, CString, OsStr};
use std::io;

use crate::sys::threads::OneThread;

/// Sets or removes a variable of the environment (setenv(3)).
pub(crate) fn set_variable(_: OneThread, name: &OsStr, value: Option<&OsStr>) -> io::Result<()> {
    let bytes = name.as_encoded_bytes();
    let has_nul = |text: &OsStr| text.as_encoded_bytes().contains(&0);
    if bytes.is_empty() || bytes.contains(&b'=') || has_nul(name) || value.is_some_and(has_nul) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    match value {
        // SAFETY: the witness says that the process has one thread.
        Some(value) => unsafe { env::set_var(name, value) },
        // SAFETY: as above.
        None => unsafe { env::remove_var(name) },
    }
    Ok(())
}

/// Removes all variables (clearenv(3)).
pub(crate) fn clear(_: OneThread) {
    // SAFETY: the witness says that the process has one thread.
    unsafe { libc::clearenv() };
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
