//! The environment (environ(7)), for processes with one thread.
//! RUNS IN: program before main, caller, child

use std::env;
use std::ffi::{CStr, CString, OsStr, c_char};
use std::io;
use std::ptr;
use std::sync::OnceLock;

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

/// Gives the process these variables in place of all others (environ(7)). Each text is
/// `NAME=value` with a NUL behind it, and the last byte is such a NUL.
///
/// The memory is the environment's for good.
pub(crate) fn replace(_: OneThread, texts: Vec<u8>) {
    let texts = Vec::leak(texts);
    let mut entries: Vec<*mut c_char> = Vec::new();
    for text in texts.split_inclusive_mut(|byte| *byte == 0) {
        entries.push(text.as_mut_ptr().cast());
    }
    entries.push(ptr::null_mut());
    let entries = Vec::leak(entries).as_mut_ptr();
    // SAFETY: nobody else reads or writes it, as the witness says; it points to entries
    // that stay, of which the last is null.
    unsafe { environ = entries };
}

/// The environment of this process as execve(2) takes it, which is null, or ends with a
/// null pointer. For a process in which no other thread changes it.
pub(crate) fn pointers() -> *const *const c_char {
    // SAFETY: nobody writes the variable meanwhile; what it leads to is only the kernel's
    // to read.
    unsafe { environ }.cast_const().cast()
}

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

/// The texts without a name that the program was started with.
static NAMELESS: OnceLock<Vec<CString>> = OnceLock::new();

/// Notes the texts in the environment that are no variables, because they have no `=`:
/// std does not show them, but a program that is started gets them, too.
///
/// For the time before `main`, when nobody changes the environment.
pub(crate) fn note_nameless(_: OneThread) {
    // SAFETY: nobody else writes it now.
    let mut next = unsafe { environ };
    let mut found = Vec::new();
    // SAFETY: where there is an environment, it ends with a null pointer.
    while let Some(entry) = unsafe { next.as_ref() }.filter(|entry| !entry.is_null()) {
        // SAFETY: each pointer before the last leads to a C string.
        let text = unsafe { CStr::from_ptr(*entry) };
        // As std, which takes a `=` at the beginning for a part of the name.
        if !text.to_bytes().iter().skip(1).any(|byte| *byte == b'=') {
            found.push(text.to_owned());
        }
        // SAFETY: the null pointer has not come yet.
        next = unsafe { next.add(1) };
    }
    if !found.is_empty() {
        let _ = NAMELESS.set(found);
    }
}

/// The texts that [`note_nameless`] has found.
pub(crate) fn nameless() -> &'static [CString] {
    NAMELESS.get().map_or(&[], Vec::as_slice)
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
