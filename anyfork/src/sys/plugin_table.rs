//! The C interface between a program and its plugins: a table of functions with
//! nothing but numbers and bytes in their parameters, so that a plugin that another
//! compiler has built is either understood or refused.
//! RUNS IN: template, child
//!
//! The same crate is on both sides, each side with its own copy: the plugin makes
//! the table, and the program calls through it. Descriptors are handed over as
//! numbers that the called side then owns. What the values mean is the business of
//! `child::plugin`.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr;
use std::slice;

use crate::sys::dl;

/// A value that crosses the interface.
pub(crate) enum Value {
    Bytes(Vec<u8>),
    Fd(OwnedFd),
}

/// The number of a worker among the kinds of functions.
pub(crate) const WORKER: u32 = 0;

/// The number of an init function.
pub(crate) const INIT: u32 = 1;

/// Makes this library a plugin: a `cdylib` whose workers and init functions
/// another program can run, after [`Process::require`](crate::Process::require).
///
/// Once in the library, at the top level:
///
/// ```
/// #[anyfork::worker]
/// fn double(socket: std::os::unix::net::UnixStream, number: u32) -> std::io::Result<()> {
///     use std::io::Write;
///     (&socket).write_all(&(2 * number).to_le_bytes())
/// }
///
/// anyfork::export_plugin!();
/// # fn main() {}
/// ```
///
/// with `crate-type = ["cdylib"]` and anyfork's feature `plugin` in its
/// `Cargo.toml`. Library and program may be built by different compilers, and
/// with different versions of anyfork as long as these have the same version of
/// the plugin interface: only C types cross it.
///
/// # Caveats
///
/// Expands to an `unsafe` attribute, which `#![forbid(unsafe_code)]` refuses.
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

/// The version of everything below.
pub(crate) const ABI: u32 = 2;

/// What a plugin's `anyfork_plugin` function returns. The first field keeps its
/// place and meaning in every version.
#[repr(C)]
pub struct Table {
    abi: u32,
    names: *const Name,
    count: usize,
    /// `status` is only lent.
    work: extern "C" fn(index: usize, args: RawArgs, socket: c_int, status: c_int) -> c_int,
    init: extern "C" fn(index: usize, args: RawArgs, collected: RawArgs, answer: *mut Answer),
    /// Called in every forked child, first; `false` if a hook panicked.
    forked: extern "C" fn() -> bool,
}

// SAFETY: it points to static data that nobody writes.
unsafe impl Sync for Table {}
// SAFETY: as above.
unsafe impl Send for Table {}

#[repr(C)]
struct Name {
    text: *const u8,
    len: usize,
    /// [`WORKER`] or [`INIT`].
    kind: u32,
}

#[repr(C)]
struct RawArg {
    bytes: *const u8,
    len: usize,
    /// -1 for bytes.
    fd: c_int,
}

#[repr(C)]
struct RawArgs {
    args: *const RawArg,
    count: usize,
}

/// What comes back from an init function.
#[repr(C)]
struct Answer {
    /// Whether the collected arguments were taken; else the caller keeps them.
    taken: bool,
    /// 0 success, else the code of the error's kind.
    code: u16,
    /// Called once with the message of an error.
    say: extern "C" fn(context: *mut c_void, text: *const u8, len: usize),
    context: *mut c_void,
}

/// How an init function of a plugin ended.
pub(crate) struct InitEnd {
    /// The error's code and message.
    pub(crate) failure: Option<(u16, String)>,
    /// The collected arguments that are left.
    pub(crate) collected: Vec<Value>,
}

/// What a plugin does when it is called.
pub(crate) trait Entrance {
    /// Enters the `index`th worker and gives its exit code. Its failure is told in
    /// the pipe `status`.
    fn work(index: usize, args: Vec<Value>, socket: UnixStream, status: BorrowedFd<'_>) -> u8;
    /// Runs the `index`th init function.
    fn init(index: usize, args: Vec<Value>, collected: Vec<Value>) -> InitEnd;
    /// This process has just been forked: notes it, and runs the hooks. `false`
    /// if one of them panicked.
    fn forked() -> bool;
}

/// The plugin's side: makes the table. It is made once, and leaked.
pub(crate) fn table<E: Entrance>(names: &[(u32, &'static str)]) -> &'static Table {
    let name = |&(kind, text): &(u32, &'static str)| Name {
        text: text.as_ptr(),
        len: text.len(),
        kind,
    };
    let names = Vec::leak(names.iter().map(name).collect());
    Box::leak(Box::new(Table {
        abi: ABI,
        names: names.as_ptr(),
        count: names.len(),
        work: work::<E>,
        init: init::<E>,
        forked: forked::<E>,
    }))
}

extern "C" fn work<E: Entrance>(
    index: usize,
    args: RawArgs,
    socket: c_int,
    status: c_int,
) -> c_int {
    // SAFETY: the program hands the socket over.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the program hands the arguments over.
    let args = unsafe { take(args) };
    // SAFETY: the program lends it for the time of the call.
    let status = unsafe { BorrowedFd::borrow_raw(status) };
    E::work(index, args, socket.into(), status).into()
}

extern "C" fn init<E: Entrance>(
    index: usize,
    args: RawArgs,
    collected: RawArgs,
    answer: *mut Answer,
) {
    let had = collected.count;
    // SAFETY: the program hands the arguments over.
    let args = unsafe { take(args) };
    // SAFETY: the program lends these; what is left is given back below.
    let collected = unsafe { take(collected) };
    let end = E::init(index, args, collected);
    // SAFETY: the program's answer outlives the call.
    let answer = unsafe { &mut *answer };
    answer.taken = had > 0 && end.collected.is_empty();
    for arg in end.collected {
        if let Value::Fd(fd) = arg {
            // It was only lent.
            let _ = fd.into_raw_fd();
        }
    }
    if let Some((code, text)) = end.failure {
        answer.code = code;
        (answer.say)(answer.context, text.as_ptr(), text.len());
    }
}

extern "C" fn forked<E: Entrance>() -> bool {
    E::forked()
}

/// # Safety
///
/// The array is valid, and its descriptors are this function's to own.
unsafe fn take(raw: RawArgs) -> Vec<Value> {
    if raw.count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller says so.
    let args = unsafe { slice::from_raw_parts(raw.args, raw.count) };
    let arg = |raw: &RawArg| match raw.fd {
        // SAFETY: bytes come with their length.
        -1 => Value::Bytes(unsafe { bytes(raw.bytes, raw.len) }.to_vec()),
        // SAFETY: the caller says so.
        fd => Value::Fd(unsafe { OwnedFd::from_raw_fd(fd) }),
    };
    args.iter().map(arg).collect()
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

/// The program's side: a plugin that is loaded, for good.
pub(crate) struct Plugin(&'static Table);

impl Plugin {
    /// Loads a plugin (dlopen(3)); an error says why not.
    pub(crate) fn load(path: &Path) -> Result<Plugin, String> {
        let library = dl::load(path)?;
        // SAFETY: only a library that means to be a plugin has this name.
        let entry = unsafe { library.get::<extern "C" fn() -> *const Table>(SYMBOL) };
        let entry = entry.map_err(|_| {
            "it is no plugin of anyfork: it does not call `anyfork::export_plugin!()`".to_owned()
        })?;
        let table = entry();
        // SAFETY: the first field keeps its place in every version.
        let abi = unsafe { *table.cast::<u32>() };
        if abi != ABI {
            return Err(format!(
                "it was built for version {abi} of the plugin interface, this program for {ABI}"
            ));
        }
        // SAFETY: the version says that this is what it points to, for good.
        Ok(Plugin(unsafe { &*table }))
    }

    /// Whether the two are one library.
    pub(crate) fn is(&self, other: &Plugin) -> bool {
        ptr::eq(self.0, other.0)
    }

    /// Its functions of that kind, with their indexes.
    pub(crate) fn names(&self, wanted: u32) -> Vec<(usize, String)> {
        let names: &[Name] = match self.0.count {
            0 => &[],
            // SAFETY: the table says that there are so many.
            count => unsafe { slice::from_raw_parts(self.0.names, count) },
        };
        let of_kind = names.iter().filter(|name| name.kind == wanted);
        let text = |name: &Name| {
            // SAFETY: a name is static, and as long as it says.
            let text = unsafe { bytes(name.text, name.len) };
            String::from_utf8_lossy(text).into_owned()
        };
        of_kind.map(text).enumerate().collect()
    }

    /// Enters a worker of the plugin's and gives its exit code.
    pub(crate) fn work(
        &self,
        index: usize,
        args: Vec<Value>,
        socket: UnixStream,
        status: BorrowedFd<'_>,
    ) -> u8 {
        let args = Lent::new(args);
        let socket = OwnedFd::from(socket).into_raw_fd();
        let code = (self.0.work)(index, args.hand_over(), socket, status.as_raw_fd());
        u8::try_from(code).unwrap_or(1)
    }

    /// Tells the plugin that this process has just been forked; `false` if one of
    /// its hooks panicked.
    pub(crate) fn forked(&self) -> bool {
        (self.0.forked)()
    }

    /// Runs an init function of the plugin's.
    pub(crate) fn init(&self, index: usize, args: Vec<Value>, collected: Vec<Value>) -> InitEnd {
        extern "C" fn say(context: *mut c_void, text: *const u8, len: usize) {
            // SAFETY: `context` is the `message` below.
            let message = unsafe { &mut *context.cast::<String>() };
            // SAFETY: the plugin gives so many bytes.
            let text = unsafe { bytes(text, len) };
            *message = String::from_utf8_lossy(text).into_owned();
        }
        let mut message = String::new();
        let mut answer = Answer {
            taken: false,
            code: 0,
            say,
            context: (&raw mut message).cast(),
        };
        let (args, collected) = (Lent::new(args), Lent::new(collected));
        (self.0.init)(
            index,
            args.hand_over(),
            collected.hand_over(),
            &raw mut answer,
        );
        let (taken, code) = (answer.taken, answer.code);
        InitEnd {
            failure: (code != 0).then_some((code, message)),
            collected: if taken {
                Vec::new()
            } else {
                collected.take_back()
            },
        }
    }
}

/// The name of the function that `export_plugin!` defines.
const SYMBOL: &[u8] = b"anyfork_plugin\0";

/// Arguments whose descriptors are numbers for the other side, and the array
/// that shows them to it.
struct Lent {
    args: Vec<Result<Vec<u8>, RawFd>>,
    raw: Vec<RawArg>,
}

impl Lent {
    fn new(args: Vec<Value>) -> Lent {
        let number = |arg| match arg {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Fd(fd) => Err(fd.into_raw_fd()),
        };
        let args: Vec<_> = args.into_iter().map(number).collect();
        let raw = |arg: &Result<Vec<u8>, RawFd>| match arg {
            Ok(bytes) => RawArg {
                bytes: bytes.as_ptr(),
                len: bytes.len(),
                fd: -1,
            },
            Err(fd) => RawArg {
                bytes: std::ptr::null(),
                len: 0,
                fd: *fd,
            },
        };
        let raw = args.iter().map(raw).collect();
        Lent { args, raw }
    }

    fn hand_over(&self) -> RawArgs {
        RawArgs {
            args: self.raw.as_ptr(),
            count: self.raw.len(),
        }
    }

    /// The arguments, which the other side has not taken.
    fn take_back(self) -> Vec<Value> {
        let arg = |arg| match arg {
            Ok(bytes) => Value::Bytes(bytes),
            // SAFETY: the other side gave its claim up.
            Err(fd) => Value::Fd(unsafe { OwnedFd::from_raw_fd(fd) }),
        };
        self.args.into_iter().map(arg).collect()
    }
}
