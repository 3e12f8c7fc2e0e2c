//! [`Args`]: arguments in order, and the macro `args!` that makes them.
//! RUNS IN: caller, child
//!
//! Pure data. The caller collects arguments, and the child takes them apart; how
//! they travel is the protocol's business.

pub(crate) mod convert;
pub(crate) mod descriptor;
pub(crate) mod failure;
#[cfg(feature = "serde")]
pub(crate) mod format;
pub(crate) mod given;
#[cfg(feature = "pool")]
pub(crate) mod message_fds;
pub(crate) mod preview;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;
pub(crate) mod value;

use std::collections::VecDeque;
use std::collections::vec_deque;
use std::io;
use std::iter::FusedIterator;

use crate::args::failure::{next_of, report};
use crate::args::preview::Preview;
use crate::args::value::{Arg, ArgError, FromArg, IntoArg};
use crate::error::{Error, Result};

/// Arguments in order, and an iterator over them.
///
/// As the last parameter of a worker, `Args` takes all remaining arguments:
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
///
/// # A value that cannot be sent
///
/// If the [`IntoArg`] of a value fails, the arguments end there, and the `Args` carry the failure
/// to the launch. [`Process::init`], the companions of functions, and everything that collects
/// arguments from an iterator ([`Process::send_args`], [`extend`](Extend::extend), [`collect`])
/// pass the failure on, even from within a [`chain`](Iterator::chain) or a `flat_map`. The launch
/// then fails with [`ErrorKind::BadArgument`], and the error's message has the position of the
/// argument.
///
/// ```
/// use anyfork::{Arg, ArgError, ErrorKind, IntoArg, Process, args};
///
/// struct Secret;
///
/// impl IntoArg for Secret {
///     fn into_arg(self) -> Result<Arg, ArgError> {
///         Err(ArgError::new("secrets are not sent"))
///     }
/// }
///
/// # mod doctest {
/// # use super::*;
/// # pub fn main() -> anyfork::Result<()> {
/// let process = Process::new()?.send_arg("a").send_args(args!["b", Secret, "d"]);
/// let error = process.run("any").blocking().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::BadArgument);
/// assert_eq!(error.to_string(), "argument 3 cannot be sent: secrets are not sent");
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// # Panics
///
/// If code of your own iterates over such an `Args`, [`next`](Iterator::next) panics at the
/// argument that could not be made, so that the failure cannot get lost. [`Args::error`] reports
/// the failure before that. The `Args` that a worker receives carry no failure.
///
/// [`ErrorKind::BadArgument`]: crate::ErrorKind::BadArgument
/// [`Process::init`]: crate::Process::init
/// [`Process::send_args`]: crate::Process::send_args
/// [`collect`]: Iterator::collect
#[derive(Debug, Default)]
pub struct Args {
    args: VecDeque<Arg>,
    /// Why the argument after these could not be made.
    failure: Option<ArgError>,
}

impl Args {
    /// No arguments.
    pub fn new() -> Args {
        Args::default()
    }

    /// Appends an argument. If the value cannot become an argument, the launch will fail (see
    /// [`Args`]), and everything that is appended later is dropped.
    pub fn push(&mut self, value: impl IntoArg) {
        if self.failure.is_some() {
            return;
        }
        match value.into_arg() {
            Ok(arg) => self.args.push_back(arg),
            Err(reason) => self.failure = Some(reason),
        }
    }

    /// Why the launch will fail, if a value could not become an argument.
    ///
    /// ```
    /// use anyfork::{Arg, ArgError, ErrorKind, IntoArg, args};
    ///
    /// struct Secret;
    ///
    /// impl IntoArg for Secret {
    ///     fn into_arg(self) -> Result<Arg, ArgError> {
    ///         Err(ArgError::new("secrets are not sent"))
    ///     }
    /// }
    ///
    /// assert!(args![1, "two"].error().is_none());
    /// let error = args![1, Secret].error().expect("a secret was given");
    /// assert_eq!(error.kind(), ErrorKind::BadArgument);
    /// assert_eq!(error.to_string(), "argument 2 cannot be sent: secrets are not sent");
    /// ```
    pub fn error(&self) -> Option<Error> {
        let reason = self.failure.as_ref()?;
        Some(reason.at(self.args.len() + 1))
    }

    /// Takes the next argument as a value, or `None` when there is none left.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BadArgument`](crate::ErrorKind::BadArgument) if the argument is not a `T` (it
    /// is taken even so), or if it could not be made in the first place.
    pub fn next_as<T: FromArg>(&mut self) -> Result<Option<T>> {
        let Some(arg) = next_of(self).map_err(|reason| reason.at(1))? else {
            return Ok(None);
        };
        let preview = Preview::of(&arg);
        T::from_arg(arg).map(Some).map_err(|reason| {
            let wanted = std::any::type_name::<T>();
            preview.refused(format_args!("argument ({wanted})"), &reason)
        })
    }

    /// Whether there are no arguments.
    ///
    /// ```
    /// let mut args = anyfork::args!["a"];
    /// assert!(!args.is_empty());
    /// args.next();
    /// assert!(args.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.args.is_empty()
    }

    /// A copy of the arguments, with duplicates of the descriptors.
    ///
    /// ```
    /// let args = anyfork::args!["a", std::fs::File::open("/dev/null")?];
    /// let again = args.try_clone()?;
    /// assert_eq!((again.len(), args.len()), (2, 2));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the descriptor table is full.
    pub fn try_clone(&self) -> io::Result<Args> {
        Ok(Args {
            args: self.iter().map(Arg::try_clone).collect::<io::Result<_>>()?,
            failure: self.failure.clone(),
        })
    }

    /// The arguments that are left, without taking them.
    pub fn iter(&self) -> impl Iterator<Item = &Arg> {
        self.args.iter()
    }
}

impl Iterator for Args {
    type Item = Arg;

    fn next(&mut self) -> Option<Arg> {
        let arg = self.args.pop_front();
        if arg.is_none()
            && let Some(reason) = self.failure.take()
        {
            report(reason);
        }
        arg
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.args.len(), Some(self.args.len()))
    }
}

impl ExactSizeIterator for Args {}
impl FusedIterator for Args {}

impl<'a> IntoIterator for &'a Args {
    type Item = &'a Arg;
    type IntoIter = vec_deque::Iter<'a, Arg>;

    fn into_iter(self) -> Self::IntoIter {
        self.args.iter()
    }
}

impl FromIterator<Arg> for Args {
    fn from_iter<I: IntoIterator<Item = Arg>>(args: I) -> Args {
        let mut all = Args::new();
        all.extend(args);
        all
    }
}

impl Extend<Arg> for Args {
    fn extend<I: IntoIterator<Item = Arg>>(&mut self, args: I) {
        let mut args = args.into_iter();
        self.args.reserve(args.size_hint().0);
        while self.failure.is_none() {
            match next_of(&mut args) {
                Ok(Some(arg)) => self.args.push_back(arg),
                Ok(None) => return,
                Err(reason) => self.failure = Some(reason),
            }
        }
    }
}

impl From<Vec<Arg>> for Args {
    fn from(args: Vec<Arg>) -> Args {
        Args {
            args: args.into(),
            failure: None,
        }
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
/// A value that cannot become an argument fails the launch: see [`Args`].
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => {{
        #[allow(unused_mut)]
        let mut args = $crate::Args::new();
        $(
            args.push($value);
        )*
        args
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value that becomes no argument.
    struct Unsendable;

    impl IntoArg for Unsendable {
        fn into_arg(self) -> Result<Arg, ArgError> {
            Err(ArgError::new("it stays here"))
        }
    }

    fn text(args: &Args) -> Option<String> {
        args.error().map(|error| error.to_string())
    }

    #[test]
    fn the_first_failure_stays_and_ends_the_arguments() {
        let mut args = crate::args!["a", Unsendable, "c"];
        args.push(Unsendable);
        args.push("e");
        assert_eq!(args.len(), 1);
        let expected = "argument 2 cannot be sent: it stays here";
        assert_eq!(text(&args).unwrap(), expected);
        assert_eq!(text(&args.try_clone().unwrap()).unwrap(), expected);
    }

    #[test]
    fn whoever_collects_takes_the_failure_over() {
        let failing = || crate::args!["a", Unsendable];
        let mut all = crate::args!["0"];
        all.extend(failing());
        all.extend(crate::args!["c"]);
        assert_eq!(
            text(&all).unwrap(),
            "argument 3 cannot be sent: it stays here"
        );
        let chained: Args = crate::args!["0", "1"]
            .chain(failing())
            .chain(failing())
            .collect();
        assert_eq!(
            text(&chained).unwrap(),
            "argument 4 cannot be sent: it stays here"
        );
        let error = failing().skip(1).collect::<Args>();
        assert!(text(&error).is_some());
    }

    #[test]
    fn taken_apart_it_is_not_lost() {
        let mut args = crate::args!["a", Unsendable];
        assert_eq!(args.next_as::<String>().unwrap().unwrap(), "a");
        let error = args.next_as::<String>().unwrap_err();
        assert!(error.to_string().contains("it stays here"), "{error}");
        assert!(args.next_as::<String>().unwrap().is_none());

        let taken = std::panic::catch_unwind(|| crate::args!["a", Unsendable].count());
        let panic = taken.unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains("it stays here"), "{text}");
    }
}
