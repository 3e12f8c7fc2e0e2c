//! The side of the program: loads a plugin, and calls its functions.
//! RUNS IN: template, child

use std::ffi::c_void;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr;
use std::slice;

use crate::sys::dl;
#[cfg(feature = "pool")]
use crate::sys::plugin_table::RawCall;
use crate::sys::plugin_table::{
    Answer, InitEnd, Name, RawArg, RawArgs, Table, VERSION, Value, bytes,
};

/// A plugin that this process has loaded. It stays loaded.
pub(crate) struct Plugin(&'static Table);

/// Why a library could not be loaded as a plugin.
pub(crate) enum LoadError {
    /// The loader refuses, for this reason.
    Loader(String),
    /// The library has no function `anyfork_plugin`.
    NoPlugin,
    /// The library has this version of the interface.
    Version(u32),
}

impl Plugin {
    /// Loads a plugin (dlopen(3)).
    pub(crate) fn load(path: &Path) -> Result<Plugin, LoadError> {
        let library = dl::load(path).map_err(LoadError::Loader)?;
        // SAFETY: only a library that means to be a plugin has this name.
        let entry = unsafe { library.get::<extern "C" fn() -> *const Table>(SYMBOL) };
        let entry = entry.map_err(|_| LoadError::NoPlugin)?;
        let table = entry();
        // SAFETY: the first field keeps its place in every version.
        let version = unsafe { *table.cast::<u32>() };
        if version != VERSION {
            return Err(LoadError::Version(version));
        }
        // SAFETY: a plugin of this version points to such a table, which is static.
        Ok(Plugin(unsafe { &*table }))
    }

    /// Whether both are the same library.
    pub(crate) fn is(&self, other: &Plugin) -> bool {
        ptr::eq(self.0, other.0)
    }

    /// The functions of the kind `wanted`, with their indexes and fingerprints.
    pub(crate) fn names(&self, wanted: u32) -> Vec<(usize, String, u64)> {
        let names: &[Name] = match self.0.count {
            0 => &[],
            // SAFETY: the table has the length of its array.
            count => unsafe { slice::from_raw_parts(self.0.names, count) },
        };
        let of_kind = names.iter().filter(|name| name.kind == wanted);
        let text = |name: &Name| {
            // SAFETY: a name is static, and has the length of its text.
            let text = unsafe { bytes(name.text, name.len) };
            String::from_utf8_lossy(text).into_owned()
        };
        let named = of_kind.enumerate();
        named
            .map(|(index, name)| (index, text(name), name.fingerprint))
            .collect()
    }

    /// Runs a worker of the plugin and gives its exit code.
    pub(crate) fn work(
        &self,
        index: usize,
        args: Vec<Value>,
        socket: UnixStream,
        status: BorrowedFd<'_>,
    ) -> u8 {
        let args = Lent::new(args);
        let socket = OwnedFd::from(socket).into_raw_fd();
        let code = (self.0.work)(index, args.as_raw(), socket, status.as_raw_fd());
        u8::try_from(code).unwrap_or(1)
    }

    /// Has the plugin answer a typed call. Returns whether the worker takes another call.
    #[cfg(feature = "pool")]
    pub(crate) fn call(
        &self,
        index: usize,
        args: Vec<Value>,
        call: RawCall,
        socket: BorrowedFd<'_>,
        status: Option<BorrowedFd<'_>>,
    ) -> bool {
        let args = Lent::new(args);
        let status = status.map_or(-1, |it| it.as_raw_fd());
        let socket = socket.as_raw_fd();
        (self.0.call)(index, args.as_raw(), &raw const call, socket, status)
    }

    /// Tells the plugin that this process has just been forked. `false` if one of the
    /// plugin's hooks panicked.
    pub(crate) fn forked(&self) -> bool {
        (self.0.forked)()
    }

    /// Runs an init function of the plugin.
    pub(crate) fn init(&self, index: usize, args: Vec<Value>, collected: Vec<Value>) -> InitEnd {
        extern "C" fn set_message(context: *mut c_void, text: *const u8, len: usize) {
            // SAFETY: `context` is the `message` below.
            let message = unsafe { &mut *context.cast::<String>() };
            // SAFETY: the plugin gives the text with its length.
            let text = unsafe { bytes(text, len) };
            *message = String::from_utf8_lossy(text).into_owned();
        }
        let mut message = String::new();
        let mut answer = Answer {
            taken: false,
            code: 0,
            set_message,
            context: (&raw mut message).cast(),
        };
        let (args, collected) = (Lent::new(args), Lent::new(collected));
        (self.0.init)(index, args.as_raw(), collected.as_raw(), &raw mut answer);
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

/// Arguments that the plugin is given or lent: their bytes, or their descriptors'
/// numbers, and the array that points to them.
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
                bytes: ptr::null(),
                len: 0,
                fd: *fd,
            },
        };
        let raw = args.iter().map(raw).collect();
        Lent { args, raw }
    }

    fn as_raw(&self) -> RawArgs {
        RawArgs {
            args: self.raw.as_ptr(),
            count: self.raw.len(),
        }
    }

    /// The arguments again, if the plugin has not taken them.
    fn take_back(self) -> Vec<Value> {
        let arg = |arg| match arg {
            Ok(bytes) => Value::Bytes(bytes),
            // SAFETY: the plugin has released the descriptor, so nobody owns it.
            Err(fd) => Value::Fd(unsafe { OwnedFd::from_raw_fd(fd) }),
        };
        self.args.into_iter().map(arg).collect()
    }
}
