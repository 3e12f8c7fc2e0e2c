//! Codecs of values that are carried whole: descriptors, bytes, system errors, serde's.
//! RUNS IN: caller, child

use std::ffi::OsString;
use std::io;
use std::marker::PhantomData;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::descriptor::Descriptor;
use crate::args::value::Arg;
use crate::failure::Failure;
use crate::value::{Codec, Decoder, Encoder, ValueError, fd};

/// Descriptors, and `Option` and `Vec` of them.
pub struct Fds<T>(pub(crate) PhantomData<fn() -> T>);

/// Types of bytes.
pub struct Bytes<T>(pub(crate) PhantomData<fn() -> T>);

/// The system's errors: kind, number and text.
pub struct IoErrors;

/// Errors and panics as text.
pub struct Failures;

/// What serde serializes, in postcard's format.
pub struct Serde<T>(pub(crate) PhantomData<fn() -> T>);

/// What cannot cross, and slots that are not used.
pub struct Unsupported<T>(pub(crate) PhantomData<fn() -> T>);

/// Types that are descriptors, and `Option` and `Vec` of such types.
pub trait Fdlike: Sized {
    /// Appends the value.
    fn put(self, out: &mut Encoder) -> Result<(), ValueError>;
    /// Takes the value.
    fn take(from: &mut Decoder) -> Result<Self, ValueError>;
}

impl<T: Descriptor> Fdlike for T {
    fn put(self, out: &mut Encoder) -> Result<(), ValueError> {
        match self.into_arg().map_err(ValueError::new)? {
            Arg::Fd(fd) => out.fd(fd),
            Arg::Bytes(_) => return Err(ValueError::new("it is no descriptor")),
        }
        Ok(())
    }

    fn take(from: &mut Decoder) -> Result<T, ValueError> {
        T::from_arg(Arg::Fd(from.fd()?)).map_err(ValueError::new)
    }
}

impl<T: Descriptor> Fdlike for Option<T> {
    fn put(self, out: &mut Encoder) -> Result<(), ValueError> {
        out.u8(u8::from(self.is_some()));
        self.map_or(Ok(()), |fd| fd.put(out))
    }

    fn take(from: &mut Decoder) -> Result<Option<T>, ValueError> {
        match from.u8()? {
            0 => Ok(None),
            _ => T::take(from).map(Some),
        }
    }
}

impl<T: Descriptor> Fdlike for Vec<T> {
    fn put(self, out: &mut Encoder) -> Result<(), ValueError> {
        out.u32(self.len() as u32);
        self.into_iter().try_for_each(|fd| fd.put(out))
    }

    fn take(from: &mut Decoder) -> Result<Vec<T>, ValueError> {
        let count = from.u32()?;
        (0..count).map(|_| T::take(from)).collect()
    }
}

impl<T: Fdlike> Codec<T> for Fds<T> {
    fn encode(&self, value: T, out: &mut Encoder) -> Result<(), ValueError> {
        value.put(out)
    }

    fn decode(&self, from: &mut Decoder) -> Result<T, ValueError> {
        T::take(from)
    }
}

/// Types that are bytes.
pub trait Byteslike: Sized {
    /// The value's bytes, without a copy.
    fn into_vec(self) -> Vec<u8>;
    /// The value of the bytes, without a copy.
    fn of(bytes: Vec<u8>) -> Result<Self, ValueError>;
}

impl Byteslike for Vec<u8> {
    fn into_vec(self) -> Vec<u8> {
        self
    }

    fn of(bytes: Vec<u8>) -> Result<Vec<u8>, ValueError> {
        Ok(bytes)
    }
}

impl Byteslike for String {
    fn into_vec(self) -> Vec<u8> {
        self.into_bytes()
    }

    fn of(bytes: Vec<u8>) -> Result<String, ValueError> {
        String::from_utf8(bytes).map_err(ValueError::new)
    }
}

impl Byteslike for OsString {
    fn into_vec(self) -> Vec<u8> {
        OsStringExt::into_vec(self)
    }

    fn of(bytes: Vec<u8>) -> Result<OsString, ValueError> {
        Ok(OsString::from_vec(bytes))
    }
}

impl Byteslike for PathBuf {
    fn into_vec(self) -> Vec<u8> {
        OsStringExt::into_vec(self.into_os_string())
    }

    fn of(bytes: Vec<u8>) -> Result<PathBuf, ValueError> {
        Ok(OsString::from_vec(bytes).into())
    }
}

impl<T: Byteslike> Codec<T> for Bytes<T> {
    fn encode(&self, value: T, out: &mut Encoder) -> Result<(), ValueError> {
        out.bytes(value.into_vec());
        Ok(())
    }

    fn decode(&self, from: &mut Decoder) -> Result<T, ValueError> {
        T::of(from.bytes()?)
    }
}

impl<T: Serialize + DeserializeOwned> Codec<T> for Serde<T> {
    fn encode(&self, value: T, out: &mut Encoder) -> Result<(), ValueError> {
        let main = std::mem::take(&mut out.main);
        let encoded = fd::collect(&mut out.fds, || postcard::to_extend(&value, main));
        out.main = encoded.map_err(|error| ValueError::new(fd::reason(error)))?;
        Ok(())
    }

    fn decode(&self, from: &mut Decoder) -> Result<T, ValueError> {
        let mut fds = std::mem::take(&mut from.fds);
        let decoded = fd::provide(&mut fds, || {
            postcard::take_from_bytes(from.rest()).map(|(value, rest)| (value, rest.len()))
        });
        from.fds = fds;
        let (value, left) = decoded.map_err(|error| ValueError::new(fd::reason(error)))?;
        from.skip_to(left);
        Ok(value)
    }
}

/// Never used: the compiler refuses the type.
impl<T> Codec<T> for Unsupported<T> {
    fn encode(&self, _: T, _: &mut Encoder) -> Result<(), ValueError> {
        Err(ValueError::new("it cannot cross"))
    }

    fn decode(&self, _: &mut Decoder) -> Result<T, ValueError> {
        Err(ValueError::new("it cannot cross"))
    }
}

/// Kinds of system errors that have no number with them, as they travel.
const KINDS: [io::ErrorKind; 39] = {
    use io::ErrorKind::*;
    [
        Other,
        NotFound,
        PermissionDenied,
        ConnectionRefused,
        ConnectionReset,
        HostUnreachable,
        NetworkUnreachable,
        ConnectionAborted,
        NotConnected,
        AddrInUse,
        AddrNotAvailable,
        NetworkDown,
        BrokenPipe,
        AlreadyExists,
        WouldBlock,
        NotADirectory,
        IsADirectory,
        DirectoryNotEmpty,
        ReadOnlyFilesystem,
        StaleNetworkFileHandle,
        InvalidInput,
        InvalidData,
        TimedOut,
        WriteZero,
        StorageFull,
        NotSeekable,
        QuotaExceeded,
        FileTooLarge,
        ResourceBusy,
        ExecutableFileBusy,
        Deadlock,
        CrossesDevices,
        TooManyLinks,
        InvalidFilename,
        ArgumentListTooLong,
        Interrupted,
        Unsupported,
        UnexpectedEof,
        OutOfMemory,
    ]
};

impl Codec<io::Error> for IoErrors {
    fn encode(&self, value: io::Error, out: &mut Encoder) -> Result<(), ValueError> {
        let kind = KINDS.iter().position(|kind| *kind == value.kind());
        out.u8(kind.unwrap_or(0) as u8);
        // 0 is no error of the system's.
        out.u32(value.raw_os_error().unwrap_or(0) as u32);
        out.bytes(value.to_string().into_bytes());
        Ok(())
    }

    fn decode(&self, from: &mut Decoder) -> Result<io::Error, ValueError> {
        let (kind, number, text) = (from.u8()?, from.u32()?, from.bytes()?);
        let kind = KINDS.get(usize::from(kind));
        Ok(match number {
            0 => io::Error::new(
                *kind.unwrap_or(&io::ErrorKind::Other),
                String::from_utf8_lossy(&text).into_owned(),
            ),
            number => io::Error::from_raw_os_error(number as i32),
        })
    }
}

impl Codec<Failure> for Failures {
    fn encode(&self, value: Failure, out: &mut Encoder) -> Result<(), ValueError> {
        out.u8(u8::from(value.is_panic()));
        for text in [
            Some(value.message()),
            value.location(),
            value.thread(),
            Some(value.stack()),
        ] {
            out.bytes(text.unwrap_or_default().into());
        }
        Ok(())
    }

    fn decode(&self, from: &mut Decoder) -> Result<Failure, ValueError> {
        let has_panicked = from.u8()? != 0;
        let mut text = || String::of(from.bytes()?);
        Ok(Failure::new(
            has_panicked,
            text()?,
            text()?,
            text()?,
            text()?,
        ))
    }
}
