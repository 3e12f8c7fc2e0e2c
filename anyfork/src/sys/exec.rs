//! Executing an external program in this process (execve(2)).
//! RUNS IN: child

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::thread;
use std::time::Duration;

use crate::sys::{environ, threads};

/// Text for the kernel: an error if it has a NUL in it.
pub(crate) fn c_string(text: OsString) -> io::Result<CString> {
    CString::new(text.into_vec()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// The C library's search path for a process without a `PATH` (execvp(3)).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A program that is ready to be executed.
pub(crate) struct Image {
    /// The paths to try, in this order.
    paths: Vec<CString>,
    args: Vec<CString>,
    /// `None`: the environment of this process as it is.
    variables: Option<Vec<CString>>,
}

impl Image {
    /// A program, its arguments (the first is the program's name for itself), and the
    /// environment as it is now.
    pub(crate) fn new(
        program: &OsStr,
        args: impl IntoIterator<Item = OsString>,
    ) -> io::Result<Image> {
        // Another thread may change the environment while it is read. A copy is made under
        // the lock of std.
        let variables = match threads::was_always_single() {
            true => None,
            false => {
                let copies = env::vars_os().map(|(mut name, value)| {
                    name.push("=");
                    name.push(value);
                    c_string(name)
                });
                Some(copies.collect::<io::Result<_>>()?)
            }
        };
        Ok(Image {
            paths: candidates(program, env::var_os("PATH"))?,
            variables,
            args: args.into_iter().map(c_string).collect::<io::Result<_>>()?,
        })
    }

    /// Executes the program (execve(2)). Returns the error that execvp(3) would
    /// return, but for a file of an unknown format: as for std, that is an error and
    /// not a shell script.
    pub(crate) fn execute(&self) -> io::Result<Infallible> {
        let pointers = |texts: &[CString]| {
            let mut all: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
            all.push(std::ptr::null());
            all
        };
        let args = pointers(&self.args);
        let copies = self.variables.as_deref().map(pointers);
        let variables = match &copies {
            Some(copies) => copies.as_ptr(),
            None => environ::pointers(),
        };
        let mut denied = None;
        let mut last = io::Error::from_raw_os_error(libc::ENOENT);
        for path in &self.paths {
            let mut error = try_execute(path, &args, variables);
            // A process has the file open for writing: most likely a fork of the
            // writer's that is about to execute something else.
            for attempt in 0..MAX_BUSY_RETRIES {
                if error.raw_os_error() != Some(libc::ETXTBSY) {
                    break;
                }
                thread::sleep(Duration::from_millis(1 << attempt));
                error = try_execute(path, &args, variables);
            }
            match error.raw_os_error() {
                Some(libc::EACCES) => denied = Some(error),
                Some(
                    libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT,
                ) => last = error,
                _ => return Err(error),
            }
        }
        Err(denied.unwrap_or(last))
    }
}

/// Maximum number of further attempts to execute a file that is being written:
/// over half a second.
const MAX_BUSY_RETRIES: u32 = 9;

fn try_execute(
    path: &CString,
    args: &[*const libc::c_char],
    variables: *const *const libc::c_char,
) -> io::Error {
    // SAFETY: all are C strings, in arrays that end with a null pointer. No environment
    // at all is an empty one.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), variables) };
    io::Error::last_os_error()
}

/// The paths to try for a program: the name itself if it has a `/` in it, otherwise
/// the name in each folder of `PATH`, of which an empty one is the current
/// directory.
pub(crate) fn candidates(program: &OsStr, path: Option<OsString>) -> io::Result<Vec<CString>> {
    if program.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program.to_owned())?]);
    }
    let path = path.unwrap_or_else(|| DEFAULT_PATH.into()).into_vec();
    // The C library skips a folder whose name is too long to exist.
    let folders = path
        .split(|byte| *byte == b':')
        .filter(|folder| folder.len() < libc::PATH_MAX as usize);
    let candidate = |folder: &[u8]| {
        let slash: &[u8] = if folder.is_empty() { b"" } else { b"/" };
        let bytes = [folder, slash, program.as_bytes()].concat();
        c_string(OsString::from_vec(bytes))
    };
    folders.map(candidate).collect()
}

/// Descriptors that are to get certain numbers, for the program that finds them
/// there.
pub(crate) struct Dup2Plan(Vec<(OwnedFd, RawFd)>);

impl Dup2Plan {
    /// Moves the descriptors, and `other`, to numbers that none of them is to get, so
    /// that they are out of each other's way (`F_DUPFD_CLOEXEC`, fcntl(2)). Exec still
    /// closes each of them.
    pub(crate) fn new(
        wanted: impl IntoIterator<Item = (OwnedFd, RawFd)>,
        other: BorrowedFd<'_>,
    ) -> io::Result<(Dup2Plan, OwnedFd)> {
        let wanted: Vec<_> = wanted.into_iter().collect();
        let numbers: BTreeSet<_> = wanted.iter().map(|(_, number)| *number).collect();
        let mut least = 3;
        let mut move_away = |fd: BorrowedFd<'_>| -> io::Result<OwnedFd> {
            loop {
                let moved = duplicate_above(fd, least)?;
                least = moved.as_raw_fd() + 1;
                if !numbers.contains(&moved.as_raw_fd()) {
                    return Ok(moved);
                }
            }
        };
        let other = move_away(other)?;
        let moved = wanted
            .into_iter()
            .map(|(fd, number)| Ok((move_away(fd.as_fd())?, number)));
        Ok((Dup2Plan(moved.collect::<io::Result<_>>()?), other))
    }

    /// Duplicates each descriptor to its number, where exec leaves it open, and closes
    /// what had the number before (dup2(2)).
    pub(crate) fn apply(self) -> io::Result<()> {
        for (fd, number) in &self.0 {
            // SAFETY: the owner of what has the number gives it up: this process
            // executes a program or exits.
            if unsafe { libc::dup2(fd.as_raw_fd(), *number) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

/// A duplicate at the lowest free number from `least` on (`F_DUPFD_CLOEXEC`,
/// fcntl(2)).
fn duplicate_above(fd: BorrowedFd<'_>, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes a number.
    let fd = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    match fd {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just made it for us.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(program: &str, path: Option<&str>) -> Vec<String> {
        let found = candidates(program.as_ref(), path.map(Into::into)).unwrap();
        let text = |path: CString| path.into_string().unwrap();
        found.into_iter().map(text).collect()
    }

    #[test]
    fn programs_are_looked_for_where_the_c_library_does() {
        assert_eq!(paths("a/b", Some("/x")), ["a/b"]);
        assert_eq!(paths("b", Some("/x:/y")), ["/x/b", "/y/b"]);
        assert_eq!(paths("b", Some("/x::y")), ["/x/b", "b", "y/b"]);
        assert_eq!(paths("b", Some("")), ["b"]);
        assert_eq!(paths("b", None), ["/bin/b", "/usr/bin/b"]);
        let long = "x".repeat(libc::PATH_MAX as usize);
        assert_eq!(paths("b", Some(&format!("{long}:y"))), ["y/b"]);
        assert!(candidates("".as_ref(), None).is_err());
    }

    #[test]
    fn what_cannot_be_executed_is_told() {
        for (program, errno) in [
            ("/no/such/program", libc::ENOENT),
            ("no-such-program", libc::ENOENT),
            ("/dev/null", libc::EACCES),
            ("/dev/null/x", libc::ENOTDIR),
        ] {
            let image = Image::new(program.as_ref(), ["x".into()]).unwrap();
            let error = image.execute().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno), "{program}");
        }
    }
}
