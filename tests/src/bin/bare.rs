//! A program that wishes for no early template. It tells why it has none, and
//! what a library says that it loads.

use std::env;
use std::ffi::CString;
use std::mem;
use std::os::unix::ffi::OsStringExt;

use anyfork::Process;

fn main() {
    let Some(library) = env::args_os().nth(1) else {
        println!("new: {:?}", Process::new().err());
        println!("early: {:?}", Process::early().err());
        return;
    };
    let path = CString::new(library.into_vec()).expect("a path");
    // SAFETY: the library's constructors are anyfork's.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!library.is_null(), "dlopen");
    // SAFETY: a name in an open library.
    let function = unsafe { libc::dlsym(library, c"tell_early".as_ptr()) };
    assert!(!function.is_null(), "dlsym");
    // SAFETY: the library defines it with this type.
    let tell_early: extern "C" fn() = unsafe { mem::transmute(function) };
    tell_early();
}
