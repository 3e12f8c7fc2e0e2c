//! The side of the plugin: makes the table, and receives the program's calls.
//! RUNS IN: template, child

use std::ffi::c_int;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::slice;

use crate::sys::plugin_table::{
    Answer, InitEnd, Name, RawArg, RawArgs, RawCall, Table, VERSION, Value, bytes,
};

/// Makes this library a plugin: a `cdylib` whose workers and init functions
/// another program can run, after [`Process::require`](crate::Process::require).
///
/// Call it once in the library, at the top level:
///
/// ```
/// use std::io::Write;
/// use std::os::unix::net::UnixStream;
///
/// #[anyfork::worker]
/// fn double(mut socket: UnixStream, number: u32) -> std::io::Result<()> {
///     write!(socket, "{}", 2 * number)
/// }
///
/// anyfork::export_plugin!();
///
/// # fn main() -> std::io::Result<()> {
/// // The library's own code, such as its tests, can call the function, too.
/// let (here, there) = UnixStream::pair()?;
/// double(there, 4)?;
/// assert_eq!(std::io::read_to_string(here)?, "8");
/// # Ok(())
/// # }
/// ```
///
/// The library's `Cargo.toml` has `crate-type = ["cdylib"]` and anyfork's feature `plugin`.
/// Library and program may be built by different compilers, and with different versions of
/// anyfork, as long as these have the same version of the plugin interface: only C types cross
/// that interface.
///
/// # Caveats
///
/// The macro expands to an `unsafe` attribute, which `#![forbid(unsafe_code)]` refuses.
#[macro_export]
macro_rules! export_plugin {
    () => {
        #[doc(hidden)]
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub extern "C" fn anyfork_plugin() -> *const $crate::__private::PluginTable {
            $crate::__private::plugin_table()
        }
    };
}

/// What a plugin does when the program calls it.
pub(crate) trait Guest {
    /// Runs the `index`th worker and gives its exit code. Its failure is reported in
    /// the pipe `status`.
    fn work(index: usize, args: Vec<Value>, socket: UnixStream, status: BorrowedFd<'_>) -> u8;
    /// Runs the `index`th init function.
    fn init(index: usize, args: Vec<Value>, collected: Vec<Value>) -> InitEnd;
    /// Answers a call of the `index`th function of typed calls. Returns whether the worker
    /// takes another call.
    fn call(
        index: usize,
        args: Vec<Value>,
        call: RawCall,
        socket: BorrowedFd<'_>,
        status: Option<BorrowedFd<'_>>,
    ) -> bool;
    /// Notes that this process has just been forked, and runs the hooks. `false` if
    /// one of them panicked.
    fn forked() -> bool;
}

/// Makes the table of these functions, each with the number of its kind and its
/// fingerprint. The table is leaked, so the caller makes it once.
pub(crate) fn table<G: Guest>(names: &[(u32, &'static str, u64)]) -> &'static Table {
    let name = |&(kind, text, fingerprint): &(u32, &'static str, u64)| Name {
        text: text.as_ptr(),
        len: text.len(),
        kind,
        fingerprint,
    };
    let names = Vec::leak(names.iter().map(name).collect());
    Box::leak(Box::new(Table {
        version: VERSION,
        names: names.as_ptr(),
        count: names.len(),
        work: work::<G>,
        init: init::<G>,
        call: call::<G>,
        forked: forked::<G>,
    }))
}

extern "C" fn work<G: Guest>(index: usize, args: RawArgs, socket: c_int, status: c_int) -> c_int {
    // SAFETY: the program hands the socket over.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the program hands the arguments over.
    let args = unsafe { take(args) };
    // SAFETY: the program lends the pipe for the time of the call.
    let status = unsafe { BorrowedFd::borrow_raw(status) };
    G::work(index, args, socket.into(), status).into()
}

extern "C" fn init<G: Guest>(index: usize, args: RawArgs, collected: RawArgs, answer: *mut Answer) {
    let had = collected.count;
    // SAFETY: the program hands the arguments over.
    let args = unsafe { take(args) };
    // SAFETY: the program lends these. The descriptors that are left are released
    // below, so that they stay the program's.
    let collected = unsafe { take(collected) };
    let end = G::init(index, args, collected);
    // SAFETY: the program's answer outlives the call.
    let answer = unsafe { &mut *answer };
    answer.taken = had > 0 && end.collected.is_empty();
    for arg in end.collected {
        if let Value::Fd(fd) = arg {
            // Released: the descriptor was only lent.
            let _ = fd.into_raw_fd();
        }
    }
    if let Some((code, text)) = end.failure {
        answer.code = code;
        (answer.set_message)(answer.context, text.as_ptr(), text.len());
    }
}

extern "C" fn call<G: Guest>(
    index: usize,
    args: RawArgs,
    call: *const RawCall,
    socket: c_int,
    status: c_int,
) -> bool {
    // SAFETY: the program hands the arguments over.
    let args = unsafe { take(args) };
    // SAFETY: the program's structure outlives the call.
    let call = unsafe { *call };
    // SAFETY: the program lends the socket for the time of the call.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    let status = (status >= 0).then(|| {
        // SAFETY: the program lends the pipe for the time of the call.
        unsafe { BorrowedFd::borrow_raw(status) }
    });
    G::call(index, args, call, socket, status)
}

extern "C" fn forked<G: Guest>() -> bool {
    G::forked()
}

/// # Safety
///
/// The array is valid, and its descriptors are this function's to own.
unsafe fn take(raw: RawArgs) -> Vec<Value> {
    if raw.count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller says that the array is valid.
    let args = unsafe { slice::from_raw_parts(raw.args, raw.count) };
    let arg = |raw: &RawArg| match raw.fd {
        // SAFETY: bytes come with their length.
        -1 => Value::Bytes(unsafe { bytes(raw.bytes, raw.len) }.to_vec()),
        // SAFETY: the caller says that the descriptors are this function's.
        fd => Value::Fd(unsafe { OwnedFd::from_raw_fd(fd) }),
    };
    args.iter().map(arg).collect()
}
