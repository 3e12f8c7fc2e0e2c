//! The C interface between a program and its plugins: a table of functions.
//! RUNS IN: template, child
//!
//! The parameters of the functions are nothing but numbers and bytes, so that a
//! plugin that another compiler has built is either understood or refused.
//!
//! The same crate is on both sides, each side with its own copy: the plugin makes
//! the table ([`guest`]), and the program calls through it ([`host`]). Descriptors
//! cross as numbers, which the called side then owns. What the values mean is the
//! business of `child::plugin`.

pub(crate) mod guest;
pub(crate) mod host;

use std::ffi::{c_int, c_void};
use std::os::fd::OwnedFd;
use std::slice;

/// A value that crosses the interface.
pub(crate) enum Value {
    Bytes(Vec<u8>),
    Fd(OwnedFd),
}

/// Version of this interface.
pub(crate) const VERSION: u32 = 3;

/// What a plugin's `anyfork_plugin` function returns. The first field keeps its
/// place and meaning in every version.
#[repr(C)]
pub struct Table {
    version: u32,
    names: *const Name,
    count: usize,
    /// Runs a worker and returns its exit code. The plugin owns `socket`, and borrows
    /// `status`.
    work: extern "C" fn(index: usize, args: RawArgs, socket: c_int, status: c_int) -> c_int,
    /// Runs an init function.
    init: extern "C" fn(index: usize, args: RawArgs, collected: RawArgs, answer: *mut Answer),
    /// Answers a typed call on `socket`, which the plugin borrows, as it does `status`; a
    /// `status` of -1 is none. Returns whether the worker takes another call.
    call: extern "C" fn(
        index: usize,
        args: RawArgs,
        call: *const RawCall,
        socket: c_int,
        status: c_int,
    ) -> bool,
    /// Called first in every forked child. Returns `false` if a hook panicked.
    forked: extern "C" fn() -> bool,
}

// SAFETY: the table points to static data that nobody writes.
unsafe impl Sync for Table {}
// SAFETY: as for `Sync`.
unsafe impl Send for Table {}

/// A function of a plugin. Functions of the same kind are numbered by their order.
#[repr(C)]
struct Name {
    text: *const u8,
    len: usize,
    /// The number of its kind, see `child::plugin`.
    kind: u32,
    /// The digest of the signature of a function of typed calls; else 0.
    fingerprint: u64,
}

/// What a caller says beside the arguments of a typed call.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RawCall {
    pub(crate) number: u64,
    pub(crate) max_result: u64,
    pub(crate) keep_after_panic: bool,
    pub(crate) is_last: bool,
}

/// An argument: bytes or a descriptor.
#[repr(C)]
struct RawArg {
    bytes: *const u8,
    len: usize,
    /// The number of the descriptor, or -1 for bytes.
    fd: c_int,
}

/// An array of arguments, which belongs to the calling side.
#[repr(C)]
struct RawArgs {
    args: *const RawArg,
    count: usize,
}

/// What an init function returns.
#[repr(C)]
struct Answer {
    /// Whether the init function has taken the collected arguments. Otherwise they
    /// stay the program's.
    taken: bool,
    /// 0 for success, otherwise the code of the error's kind.
    code: u16,
    /// Called once with the message of an error.
    set_message: extern "C" fn(context: *mut c_void, text: *const u8, len: usize),
    context: *mut c_void,
}

/// How an init function of a plugin ended.
pub(crate) struct InitEnd {
    /// The error's code, which is not 0, and its message.
    pub(crate) failure: Option<(u16, String)>,
    /// The collected arguments that are left.
    pub(crate) collected: Vec<Value>,
}

/// # Safety
///
/// `len` bytes are at `start`, for as long as the result is used.
unsafe fn bytes<'a>(start: *const u8, len: usize) -> &'a [u8] {
    match len {
        0 => &[],
        // SAFETY: the caller says so.
        _ => unsafe { slice::from_raw_parts(start, len) },
    }
}
