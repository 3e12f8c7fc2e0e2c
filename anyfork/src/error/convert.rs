//! An [`Error`] as an [`io::Error`].
//! RUNS IN: any

use std::io;

use crate::error::{Error, ErrorKind};
#[cfg(feature = "pool")]
use crate::failure::Failure;

/// Gives the operating system's error with its number ([`io::Error::raw_os_error`]), if there is
/// one; otherwise an [`io::Error`] of the fitting kind, with the whole error inside.
///
/// std's type has either a number or a message: an error with a number has only the system's
/// text. The [`Error`] says what was tried, and on what: if that matters more than the number,
/// print the [`Error`], or wrap it with [`io::Error::other`].
///
/// ```
/// use std::io;
///
/// let error = anyfork::Command::new("/no/such/program").spawn().blocking().unwrap_err();
/// assert!(error.to_string().contains("execute `/no/such/program`"));
/// let error = io::Error::from(error);
/// assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
/// assert_eq!(error.to_string(), io::Error::from_raw_os_error(libc::ENOENT).to_string());
/// ```
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        if let Some(errno) = error.raw_os_error() {
            return io::Error::from_raw_os_error(errno);
        }
        let source = error.0.source.as_deref();
        let source = source.and_then(|source| source.downcast_ref::<io::Error>());
        let kind = source.map(io::Error::kind).unwrap_or(match error.kind() {
            ErrorKind::UnknownWorker => io::ErrorKind::NotFound,
            ErrorKind::AmbiguousName | ErrorKind::BadArgument => io::ErrorKind::InvalidInput,
            ErrorKind::TemplateGone | ErrorKind::Closed => io::ErrorKind::BrokenPipe,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::Protocol | ErrorKind::BadResult => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        });
        io::Error::new(kind, error)
    }
}

/// Takes the error that a function with `text_errors` has returned, so that `call.blocking()??`
/// works in a function that returns anyfork's error, too.
///
/// ```
/// # mod doctest {
/// use anyfork::{ErrorKind, Process};
///
/// #[anyfork::call(text_errors)]
/// fn size(path: String) -> std::io::Result<u64> {
///     Ok(std::fs::metadata(path)?.len())
/// }
///
/// fn size_elsewhere(path: &str) -> anyfork::Result<u64> {
///     Ok(size::call(Process::new()?, path.into()).blocking()??)
/// }
///
/// # pub fn main() -> anyfork::Result<()> {
/// let error = size_elsewhere("/no/file").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Failed);
/// assert!(error.to_string().starts_with("No such file"));
/// assert_eq!(error.failure().expect("its text").message(), error.to_string());
/// # Ok(())
/// # }
/// # }
/// # fn main() -> anyfork::Result<()> { doctest::main() }
/// ```
#[cfg(feature = "pool")]
impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        let kind = match failure.is_panic() {
            true => ErrorKind::Panicked,
            false => ErrorKind::Failed,
        };
        Error::failed(kind, failure.to_string(), failure, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_comes_out_of_an_io_error_as_it_went_in() {
        let plain = io::Error::from_raw_os_error(libc::ENOSPC);
        let back = io::Error::from(Error::from(plain));
        assert_eq!(back.raw_os_error(), Some(libc::ENOSPC));

        let error = Error::io("write", io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        let converted = io::Error::from(error);
        assert_eq!(converted.kind(), io::ErrorKind::StorageFull);
        assert_eq!(converted.raw_os_error(), Some(libc::ENOSPC));
    }

    #[test]
    fn an_error_without_an_errno_stays_inside() {
        let refused = io::Error::new(io::ErrorKind::InvalidInput, "a NUL");
        let converted = io::Error::from(Error::io("start", refused));
        assert_eq!(converted.kind(), io::ErrorKind::InvalidInput);
        let inner = converted
            .get_ref()
            .and_then(|it| it.downcast_ref::<Error>());
        assert_eq!(inner.map(Error::to_string).as_deref(), Some("start: a NUL"));
    }
}
