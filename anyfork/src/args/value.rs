//! [`Arg`], and the traits of the types that arguments are made from and become.
//! RUNS IN: caller, child
//!
//! The implementations for std's types and tokio's are in the files beside this
//! one. How arguments travel is the protocol's business.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use crate::error::{Error, ErrorKind};

/// One argument of a worker: bytes, or a descriptor.
///
/// ```
/// use anyfork::{Arg, FromArg, IntoArg};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let arg = 12.into_arg()?;
/// assert!(matches!(&arg, Arg::Bytes(text) if text == b"12"));
/// assert_eq!(u8::from_arg(arg.try_clone()?)?, 12);
/// assert_eq!(String::from_arg(arg)?, "12");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum Arg {
    /// Any bytes; numbers and characters travel as text.
    Bytes(Vec<u8>),
    /// A descriptor, which the process that receives it owns.
    Fd(OwnedFd),
}

impl Arg {
    /// A copy of the argument, with a duplicate of the descriptor.
    ///
    /// # Errors
    ///
    /// If the descriptor table is full.
    pub fn try_clone(&self) -> io::Result<Arg> {
        Ok(match self {
            Arg::Bytes(bytes) => Arg::Bytes(bytes.clone()),
            Arg::Fd(fd) => Arg::Fd(fd.try_clone()?),
        })
    }
}

/// Turns a value into an argument, for [`Process::send_arg`] and [`args!`].
///
/// [`Process::send_arg`]: crate::Process::send_arg
/// [`args!`]: crate::args!
///
/// A type of your own is an argument once it implements this and [`FromArg`]:
///
/// ```
/// use anyfork::{Arg, ArgError, FromArg, IntoArg};
///
/// #[derive(Debug, PartialEq)]
/// struct Celsius(f64);
///
/// impl IntoArg for Celsius {
///     fn into_arg(self) -> Result<Arg, ArgError> {
///         if self.0 < -273.15 {
///             return Err(ArgError::new("it is colder than nothing"));
///         }
///         self.0.into_arg()
///     }
/// }
///
/// impl FromArg for Celsius {
///     fn from_arg(arg: Arg) -> Result<Celsius, ArgError> {
///         f64::from_arg(arg).map(Celsius)
///     }
/// }
///
/// # fn main() -> Result<(), ArgError> {
/// assert_eq!(Celsius::from_arg(Celsius(36.6).into_arg()?)?, Celsius(36.6));
/// assert!(Celsius(-300.0).into_arg().is_err());
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to a worker",
    label = "not an argument type",
    note = "arguments are text, bytes, numbers, `bool`, `char`, paths, descriptors and sockets, or a type that implements `anyfork::IntoArg` and `anyfork::FromArg`",
    note = "`send_args` takes several; a value of serde's is `anyfork::Json` or `anyfork::Postcard` (feature `serde`), or an argument of an `#[anyfork::call]`"
)]
pub trait IntoArg {
    /// Makes the argument.
    ///
    /// # Errors
    ///
    /// The error says in a few words why the value cannot be sent. The launch then fails with
    /// [`ErrorKind::BadArgument`], and its message has the argument's position and these words.
    fn into_arg(self) -> Result<Arg, ArgError>;
}

/// Makes a value from an argument. The types of a worker's parameters implement this.
///
/// See [`IntoArg`] for an example with a type of your own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a worker",
    label = "not an argument type",
    note = "parameters are text, bytes, numbers, `bool`, `char`, paths, owned descriptors and sockets, `Option` of these at the end, `Args` for the rest, or a type that implements `anyfork::IntoArg` and `anyfork::FromArg`",
    note = "a value of serde's is `anyfork::Json` or `anyfork::Postcard` (feature `serde`), or a parameter of an `#[anyfork::call]`"
)]
pub trait FromArg: Sized {
    /// Whether the conversion is the library's own, which comes to an end.
    #[doc(hidden)]
    const BUILTIN: bool = false;

    /// Makes the value.
    ///
    /// # Errors
    ///
    /// The error says in a few words what is wrong; the library adds the names of the worker and
    /// of the parameter, and the argument that was received.
    fn from_arg(arg: Arg) -> Result<Self, ArgError>;
}

/// Why a value cannot become an argument, or why an argument cannot become a value of the
/// requested type.
///
/// ```
/// use anyfork::{ArgError, FromArg, IntoArg};
///
/// let arg = "many".into_arg().expect("a text");
/// let error = u8::from_arg(arg).unwrap_err();
/// assert_eq!(error.to_string(), "invalid digit found in string");
/// assert_eq!(ArgError::new("it is odd").to_string(), "it is odd");
/// ```
#[derive(Clone, Debug)]
pub struct ArgError(String);

impl ArgError {
    /// `reason` completes "the argument is refused: …", as in `invalid digit
    /// found in string`.
    pub fn new(reason: impl fmt::Display) -> ArgError {
        ArgError(reason.to_string())
    }

    /// The launch's error for a value that could not become the argument at
    /// `position`, counted from 1.
    pub(crate) fn at(&self, position: usize) -> Error {
        let message = format!("argument {position} cannot be sent: {self}");
        Error::new(ErrorKind::BadArgument, message)
    }
}

impl fmt::Display for ArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ArgError {}

/// For `?` where a descriptor is opened or duplicated.
impl From<io::Error> for ArgError {
    fn from(error: io::Error) -> ArgError {
        ArgError::new(error)
    }
}
