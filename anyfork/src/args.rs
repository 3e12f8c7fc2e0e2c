//! Arguments: bytes and descriptors, in order, and the types that turn into
//! them and come out of them.
//!
//! Pure data. The caller's side collects [`Args`], the child's side takes them
//! apart; how they travel is the protocol's business.

pub(crate) mod convert;
pub(crate) mod descriptor;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;

use std::collections::VecDeque;
use std::collections::vec_deque;
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::os::fd::OwnedFd;

use crate::error::Result;

/// One argument of a worker: bytes, or a descriptor.
#[derive(Debug)]
pub enum Arg {
    /// Any bytes; numbers and characters travel as text.
    Bytes(Vec<u8>),
    /// A descriptor, which the process that receives it owns.
    Fd(OwnedFd),
}

impl Arg {
    /// The same once more, with a duplicate of the descriptor.
    ///
    /// # Errors
    ///
    /// When the descriptor table is full.
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
///     fn into_arg(self) -> anyfork::Result<Arg> {
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
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(Celsius::from_arg(Celsius(36.6).into_arg()?)?, Celsius(36.6));
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to a worker",
    label = "not an argument type",
    note = "arguments are text, bytes, numbers, `bool`, `char`, paths, descriptors and sockets, or a type that implements `anyfork::IntoArg` and `anyfork::FromArg`"
)]
pub trait IntoArg {
    /// Makes the argument.
    ///
    /// # Errors
    ///
    /// A type that can fail to convert reports it here; the builder methods of
    /// [`Process`](crate::Process) keep the error for the launch.
    fn into_arg(self) -> Result<Arg>;
}

/// Makes a value from an argument: what a worker's parameter types implement.
///
/// See [`IntoArg`] for an example of a type of one's own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a worker",
    label = "not an argument type",
    note = "parameters are text, bytes, numbers, `bool`, `char`, paths, owned descriptors and sockets, `Option` of these at the end, `Args` for the rest, or a type that implements `anyfork::IntoArg` and `anyfork::FromArg`"
)]
pub trait FromArg: Sized {
    /// Whether the conversion is the library's own, which comes to an end.
    #[doc(hidden)]
    const BUILTIN: bool = false;

    /// Makes the value.
    ///
    /// # Errors
    ///
    /// Says in a few words what is wrong; the worker's and the parameter's name
    /// and what came are added by the library.
    fn from_arg(arg: Arg) -> Result<Self, ArgError>;
}

/// Why an argument is not a value of the type that was asked for.
#[derive(Debug)]
pub struct ArgError(String);

impl ArgError {
    /// `reason` completes "the argument is refused: …", as in `invalid digit
    /// found in string`.
    pub fn new(reason: impl fmt::Display) -> ArgError {
        ArgError(reason.to_string())
    }
}

impl fmt::Display for ArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ArgError {}

/// Arguments in order; an iterator over them.
///
/// As the last parameter of a worker it takes all that is left:
///
/// ```
/// use anyfork::{Arg, Args, args};
///
/// fn sum(mut numbers: Args) -> Result<u32, anyfork::Error> {
///     let mut sum = 0;
///     while let Some(number) = numbers.next_as::<u32>()? {
///         sum += number;
///     }
///     Ok(sum)
/// }
///
/// assert_eq!(sum(args![1, "2", 39])?, 42);
/// assert!(matches!(args!["x"].next(), Some(Arg::Bytes(x)) if x == b"x"));
/// # Ok::<(), anyfork::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Args(VecDeque<Arg>);

impl Args {
    /// No arguments.
    pub fn new() -> Args {
        Args::default()
    }

    /// Appends an argument.
    ///
    /// # Errors
    ///
    /// As the value's [`IntoArg`].
    pub fn push(&mut self, value: impl IntoArg) -> Result<()> {
        self.0.push_back(value.into_arg()?);
        Ok(())
    }

    /// Takes the next argument as a value, or `None` when there is none left.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BadArgument`](crate::ErrorKind::BadArgument) if the argument
    /// is not a `T`; it is gone then.
    pub fn next_as<T: FromArg>(&mut self) -> Result<Option<T>> {
        let Some(arg) = self.next() else {
            return Ok(None);
        };
        let came = Preview::of(&arg);
        T::from_arg(arg).map(Some).map_err(|reason| {
            let wanted = std::any::type_name::<T>();
            came.refused(format_args!("argument ({wanted})"), &reason)
        })
    }

    /// The arguments that are left, without taking them.
    pub fn iter(&self) -> impl Iterator<Item = &Arg> {
        self.0.iter()
    }
}

impl Iterator for Args {
    type Item = Arg;

    fn next(&mut self) -> Option<Arg> {
        self.0.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for Args {}
impl FusedIterator for Args {}

impl<'a> IntoIterator for &'a Args {
    type Item = &'a Arg;
    type IntoIter = vec_deque::Iter<'a, Arg>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromIterator<Arg> for Args {
    fn from_iter<I: IntoIterator<Item = Arg>>(args: I) -> Args {
        Args(args.into_iter().collect())
    }
}

impl Extend<Arg> for Args {
    fn extend<I: IntoIterator<Item = Arg>>(&mut self, args: I) {
        self.0.extend(args);
    }
}

impl From<Vec<Arg>> for Args {
    fn from(args: Vec<Arg>) -> Args {
        Args(args.into())
    }
}

impl From<()> for Args {
    fn from((): ()) -> Args {
        Args::new()
    }
}

/// Makes [`Args`] from mixed values, each of a type that implements [`IntoArg`].
///
/// ```
/// let null = std::fs::File::open("/dev/null")?;
/// let args = anyfork::args![1, "two", null];
/// assert_eq!(args.len(), 3);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
///
/// If a value cannot be converted, which no type of the standard library does.
/// [`Args::push`] gives the error instead.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => {{
        #[allow(unused_mut)]
        let mut args = $crate::Args::new();
        $(
            args.push($value).expect(concat!("args!: ", stringify!($value)));
        )*
        args
    }};
}

/// What an argument looked like, for a message about it: taken before the
/// conversion consumes it, without allocating.
pub(crate) enum Preview {
    Bytes {
        head: [u8; PREVIEW],
        kept: usize,
        len: usize,
    },
    Fd,
}

/// So many bytes of a refused argument are shown.
const PREVIEW: usize = 48;

impl Preview {
    pub(crate) fn of(arg: &Arg) -> Preview {
        match arg {
            Arg::Bytes(bytes) => {
                let kept = bytes.len().min(PREVIEW);
                let mut head = [0; PREVIEW];
                head[..kept].copy_from_slice(&bytes[..kept]);
                Preview::Bytes {
                    head,
                    kept,
                    len: bytes.len(),
                }
            }
            Arg::Fd(_) => Preview::Fd,
        }
    }

    /// The error for `what` (a parameter), which this was not.
    pub(crate) fn refused(&self, what: fmt::Arguments<'_>, reason: &ArgError) -> crate::Error {
        let kind = crate::ErrorKind::BadArgument;
        crate::Error::new(kind, format!("{what} cannot be made from {self}: {reason}"))
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Preview::Fd => f.write_str("a descriptor"),
            Preview::Bytes { head, kept, len } => {
                let more = if len > kept { "…" } else { "" };
                write!(
                    f,
                    "\"{}\"{more} ({len} bytes)",
                    head[..*kept].escape_ascii()
                )
            }
        }
    }
}
