//! Arguments of types that travel as bytes: text, bytes, paths, numbers.
//! RUNS IN: caller, child
//!
//! Implements the traits of `args/value.rs`, and nothing else.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::args::value::{Arg, ArgError, FromArg, IntoArg};

impl Arg {
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, ArgError> {
        match self {
            Arg::Bytes(bytes) => Ok(bytes),
            Arg::Fd(_) => Err(ArgError::new("bytes are wanted")),
        }
    }
}

#[diagnostic::do_not_recommend]
impl IntoArg for Arg {
    fn into_arg(self) -> Result<Arg, ArgError> {
        Ok(self)
    }
}

#[diagnostic::do_not_recommend]
impl FromArg for Arg {
    const BUILTIN: bool = true;

    fn from_arg(arg: Arg) -> Result<Arg, ArgError> {
        Ok(arg)
    }
}

/// `IntoArg` for types that own their bytes, or lend them to be copied.
macro_rules! as_bytes {
    ($($ty:ty => |$value:ident| $bytes:expr;)*) => {$(
        #[diagnostic::do_not_recommend]
        impl IntoArg for $ty {
            fn into_arg(self) -> Result<Arg, ArgError> {
                let $value = self;
                Ok(Arg::Bytes($bytes))
            }
        }
    )*};
}

as_bytes! {
    Vec<u8> => |bytes| bytes;
    &[u8] => |bytes| bytes.to_vec();
    &Vec<u8> => |bytes| bytes.clone();
    Box<[u8]> => |bytes| bytes.into_vec();
    String => |text| text.into_bytes();
    &str => |text| text.as_bytes().to_vec();
    &String => |text| text.as_bytes().to_vec();
    Box<str> => |text| text.into_string().into_bytes();
    OsString => |text| text.into_vec();
    &OsStr => |text| text.as_bytes().to_vec();
    &OsString => |text| text.as_bytes().to_vec();
    PathBuf => |path| path.into_os_string().into_vec();
    &Path => |path| path.as_os_str().as_bytes().to_vec();
    &PathBuf => |path| path.as_os_str().as_bytes().to_vec();
}

#[diagnostic::do_not_recommend]
impl<const N: usize> IntoArg for [u8; N] {
    fn into_arg(self) -> Result<Arg, ArgError> {
        Ok(Arg::Bytes(self.to_vec()))
    }
}

#[diagnostic::do_not_recommend]
impl<const N: usize> IntoArg for &[u8; N] {
    fn into_arg(self) -> Result<Arg, ArgError> {
        Ok(Arg::Bytes(self.to_vec()))
    }
}

#[diagnostic::do_not_recommend]
impl FromArg for Vec<u8> {
    const BUILTIN: bool = true;

    fn from_arg(arg: Arg) -> Result<Vec<u8>, ArgError> {
        arg.into_bytes()
    }
}

#[diagnostic::do_not_recommend]
impl FromArg for Box<[u8]> {
    const BUILTIN: bool = true;

    fn from_arg(arg: Arg) -> Result<Box<[u8]>, ArgError> {
        arg.into_bytes().map(Vec::into_boxed_slice)
    }
}

#[diagnostic::do_not_recommend]
impl FromArg for String {
    const BUILTIN: bool = true;

    fn from_arg(arg: Arg) -> Result<String, ArgError> {
        String::from_utf8(arg.into_bytes()?).map_err(|error| ArgError::new(error.utf8_error()))
    }
}

#[diagnostic::do_not_recommend]
impl FromArg for Box<str> {
    const BUILTIN: bool = true;

    fn from_arg(arg: Arg) -> Result<Box<str>, ArgError> {
        String::from_arg(arg).map(String::into_boxed_str)
    }
}

#[diagnostic::do_not_recommend]
impl FromArg for OsString {
    const BUILTIN: bool = true;

    fn from_arg(arg: Arg) -> Result<OsString, ArgError> {
        arg.into_bytes().map(OsString::from_vec)
    }
}

#[diagnostic::do_not_recommend]
impl FromArg for PathBuf {
    const BUILTIN: bool = true;

    fn from_arg(arg: Arg) -> Result<PathBuf, ArgError> {
        OsString::from_arg(arg).map(PathBuf::from)
    }
}

/// The conversions of types that travel as text, by `Display` and `FromStr`:
/// `send_arg("7")` and `send_arg(7)` are the same to a `u32` parameter.
macro_rules! as_text {
    ($($ty:ty)*) => {$(
        #[diagnostic::do_not_recommend]
        impl IntoArg for $ty {
            fn into_arg(self) -> Result<Arg, ArgError> {
                self.to_string().into_arg()
            }
        }

        #[diagnostic::do_not_recommend]
        impl FromArg for $ty {
            const BUILTIN: bool = true;

            fn from_arg(arg: Arg) -> Result<$ty, ArgError> {
                let text = String::from_arg(arg)?;
                <$ty>::from_str(&text).map_err(ArgError::new)
            }
        }
    )*};
}

as_text! {
    bool char
    i8 i16 i32 i64 i128 isize
    u8 u16 u32 u64 u128 usize
    f32 f64
}
