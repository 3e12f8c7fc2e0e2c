//! [`Fd`]: a descriptor inside a structure.
//! RUNS IN: caller, child
//!
//! serde knows no descriptors. So the codec puts a list of them beside the serializer, for
//! this thread and as long as one value takes, and a descriptor is its index in the list.

use std::cell::RefCell;
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::args::descriptor::Descriptor;
use crate::args::value::Arg;

/// A descriptor inside a structure that crosses with a typed call: a file, a pipe, a socket.
///
/// A parameter or a result that is a descriptor needs no `Fd`.
///
/// ```
/// # mod doctest {
/// use std::fs::File;
/// use anyfork::{Fd, Process};
///
/// #[anyfork::call]
/// fn lengths(files: Vec<(String, Fd<File>)>) -> Result<Vec<(String, u64)>, std::io::Error> {
///     let length = |(name, file): (String, Fd<File>)| Ok((name, file.0.metadata()?.len()));
///     files.into_iter().map(length).collect()
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let files = vec![("null".to_owned(), Fd(File::open("/dev/null")?))];
/// let lengths = lengths::call(Process::new()?, files).blocking()??;
/// assert_eq!(lengths, [("null".to_owned(), 0)]);
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
///
/// Serialization duplicates the descriptor; the structure's own descriptor is closed when the
/// structure is dropped. Outside of a call, an `Fd` does not serialize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fd<T>(pub T);

impl<T: AsFd> AsFd for Fd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What goes beside a value that is being serialized or deserialized.
struct Aside {
    /// `None`: the value is not of a call.
    fds: Option<Vec<Option<OwnedFd>>>,
    /// Why the value did not cross: postcard drops the text.
    reason: Option<String>,
}

thread_local! {
    /// Empty where no value is on its way, but for a reason at most that nobody has asked for.
    /// So it needs no destructor, for whose registration a new process would pay with a dozen
    /// page faults.
    static ASIDE: ManuallyDrop<RefCell<Aside>> = const {
        ManuallyDrop::new(RefCell::new(Aside {
            fds: None,
            reason: None,
        }))
    };
}

/// Works on what is beside the value of this thread.
fn with_aside<T>(work: impl FnOnce(&mut Aside) -> T) -> T {
    ASIDE.with(|aside| work(&mut aside.borrow_mut()))
}

/// Runs `encode`, and appends the descriptors that it serializes to `fds`.
pub(crate) fn collect<T>(fds: &mut Vec<OwnedFd>, encode: impl FnOnce() -> T) -> T {
    let mut all = mem::take(fds).into_iter().map(Some).collect();
    let result = provide(&mut all, encode);
    fds.extend(all.into_iter().flatten());
    result
}

/// Runs `decode`, which takes descriptors out of `fds`.
pub(crate) fn provide<T>(fds: &mut Vec<Option<OwnedFd>>, decode: impl FnOnce() -> T) -> T {
    /// Also when the user's code panics.
    struct Restore(Option<Vec<Option<OwnedFd>>>);
    impl Restore {
        /// What was put beside the value, or what is left of it.
        fn swap(&mut self) {
            with_aside(|aside| mem::swap(&mut aside.fds, &mut self.0));
        }
    }
    impl Drop for Restore {
        fn drop(&mut self) {
            self.swap();
        }
    }
    let before = with_aside(|aside| {
        aside.reason = None;
        aside.fds.replace(mem::take(fds))
    });
    let mut restore = Restore(before);
    let result = decode();
    restore.swap();
    *fds = restore.0.take().unwrap_or_default();
    mem::forget(restore);
    result
}

/// Why a value did not cross, in the words of a descriptor or a format where there are any.
pub(crate) fn reason(error: postcard::Error) -> String {
    let reason = with_aside(|aside| aside.reason.take());
    reason.unwrap_or_else(|| match error {
        postcard::Error::DeserializeUnexpectedEnd => "it ends too early".to_owned(),
        error => error.to_string(),
    })
}

/// Notes a reason, for a serializer that drops texts.
pub(crate) fn note(reason: impl fmt::Display) -> String {
    let reason = reason.to_string();
    with_aside(|aside| aside.reason = aside.fds.is_some().then(|| reason.clone()));
    reason
}

impl<T: AsFd> Serialize for Fd<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failed = |reason: &dyn fmt::Display| ser::Error::custom(note(reason));
        let fd = self.as_fd().try_clone_to_owned();
        let fd = fd.map_err(|error| failed(&error))?;
        let index = with_aside(|aside| {
            let fds = aside.fds.as_mut()?;
            fds.push(Some(fd));
            Some(fds.len() as u32 - 1)
        });
        match index {
            Some(index) => serializer.serialize_u32(index),
            None => Err(failed(&"a descriptor can cross in a call only")),
        }
    }
}

impl<'de, T: Descriptor> Deserialize<'de> for Fd<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fd<T>, D::Error> {
        let index = u32::deserialize(deserializer)? as usize;
        let fd = with_aside(|it| it.fds.as_mut()?.get_mut(index)?.take());
        let fd = fd.ok_or_else(|| de::Error::custom(note("a descriptor is missing")))?;
        let value = T::from_arg(Arg::Fd(fd));
        value
            .map(Fd)
            .map_err(|error| de::Error::custom(note(error)))
    }
}
