//! Becoming an external program, for a process that was just forked and has one
//! thread.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::thread;
use std::time::Duration;

use crate::sys::fd;
use crate::sys::fork::c_string;

/// Where programs are looked for without a `PATH`, as the C library does it.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A program that is ready to be executed.
pub(crate) struct Image {
    /// Where it may be, in the order of trying.
    paths: Vec<CString>,
    args: Vec<CString>,
    variables: Vec<CString>,
}

impl Image {
    /// A program, its arguments (with its own name for the first), and the
    /// environment as it is now.
    pub(crate) fn new(
        program: &OsStr,
        args: impl IntoIterator<Item = OsString>,
    ) -> io::Result<Image> {
        let variables = env::vars_os().map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            c_string(name)
        });
        Ok(Image {
            paths: candidates(program, env::var_os("PATH"))?,
            args: args.into_iter().map(c_string).collect::<io::Result<_>>()?,
            variables: variables.collect::<io::Result<_>>()?,
        })
    }

    /// Executes it (execve(2)). Gives the error that execvp(3) would, but for a
    /// file without a known format, which is no shell script here, as for std.
    pub(crate) fn execute(&self) -> io::Result<Infallible> {
        let pointers = |texts: &[CString]| {
            let mut all: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
            all.push(std::ptr::null());
            all
        };
        let (args, variables) = (pointers(&self.args), pointers(&self.variables));
        let mut denied = None;
        let mut last = io::Error::from_raw_os_error(libc::ENOENT);
        for path in &self.paths {
            let mut error = try_execute(path, &args, &variables);
            // Somebody has the file open for writing, most likely by a fork of
            // theirs that is about to execute something else.
            for attempt in 0..BUSY {
                if error.raw_os_error() != Some(libc::ETXTBSY) {
                    break;
                }
                thread::sleep(Duration::from_millis(1 << attempt));
                error = try_execute(path, &args, &variables);
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

/// So often a file that is being written is tried again, over half a second.
const BUSY: u32 = 9;

fn try_execute(
    path: &CString,
    args: &[*const libc::c_char],
    variables: &[*const libc::c_char],
) -> io::Error {
    // SAFETY: all are C strings, in arrays that end with a null pointer.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), variables.as_ptr()) };
    io::Error::last_os_error()
}

/// Where a program may be: itself if it has a `/` in it, else in the folders of
/// `PATH`, of which an empty one is the current directory.
fn candidates(program: &OsStr, path: Option<OsString>) -> io::Result<Vec<CString>> {
    if program.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program.to_owned())?]);
    }
    let path = path.unwrap_or_else(|| DEFAULT_PATH.into()).into_vec();
    // The C library passes over a folder that cannot be one.
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

/// Descriptors on their way to the numbers that a program is to have them under.
pub(crate) struct Placing(Vec<(OwnedFd, RawFd)>);

impl Placing {
    /// Brings the descriptors, and `own`, out of each other's way: to numbers that
    /// none of them is to have. Each is still closed by exec (fcntl(2)).
    pub(crate) fn new(
        placed: impl IntoIterator<Item = (OwnedFd, RawFd)>,
        own: BorrowedFd<'_>,
    ) -> io::Result<(Placing, OwnedFd)> {
        let placed: Vec<_> = placed.into_iter().collect();
        let numbers: BTreeSet<_> = placed.iter().map(|(_, number)| *number).collect();
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
        let own = move_away(own)?;
        let moved = placed
            .into_iter()
            .map(|(fd, number)| Ok((move_away(fd.as_fd())?, number)));
        Ok((Placing(moved.collect::<io::Result<_>>()?), own))
    }

    /// Gives each its number, where exec leaves it open (dup2(2)). What else had
    /// the number is closed.
    pub(crate) fn place(self) -> io::Result<()> {
        for (fd, number) in &self.0 {
            // SAFETY: whoever owns what has the number gives it up: this process
            // executes a program or ends.
            if unsafe { libc::dup2(fd.as_raw_fd(), *number) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

fn duplicate_above(fd: BorrowedFd<'_>, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes a number.
    let fd = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    match fd {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just made it for us.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

/// Has exec close every descriptor above 2 (close_range(2)).
pub(crate) fn close_all_on_exec() -> io::Result<()> {
    // SAFETY: sets a flag of descriptors.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            RawFd::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        return Ok(());
    }
    // Before Linux 5.11.
    for number in fd::open_above_standard()? {
        // SAFETY: sets a flag of a descriptor.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
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
