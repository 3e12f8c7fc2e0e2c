//! Descriptors: making, marking, counting and closing them.
//! RUNS IN: any
//!
//! What is behind a descriptor is [`fd_identity`](crate::sys::fd_identity)'s
//! topic, and how many there may be [`rlimit`](crate::sys::rlimit)'s.

use std::fs::{self, DirEntry, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::unistd::pipe2;

use crate::sys::missing;
use crate::sys::threads::OneThread;

/// A pipe (pipe(2)): `(read, write)`.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    both_above_standard(pipe2(OFlag::O_CLOEXEC)?)
}

/// A pipe, neither end of which ever blocks (pipe(2)): `(read, write)`.
pub(crate) fn nonblocking_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    both_above_standard(pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?)
}

/// [`above_standard`] for both ends of a pair.
pub(crate) fn both_above_standard(
    pair: (impl Into<OwnedFd>, impl Into<OwnedFd>),
) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok((
        above_standard(pair.0.into())?,
        above_standard(pair.1.into())?,
    ))
}

/// The descriptor, or a duplicate of it, under a number above 2 (`F_DUPFD_CLOEXEC`,
/// fcntl(2)): a program that has closed its standard streams may still print.
pub(crate) fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    match fd.as_raw_fd() {
        // std duplicates to 3 and above, close-on-exec.
        ..=2 => fd.try_clone(),
        _ => Ok(fd),
    }
}

/// The current directory, to be entered by another process (`O_PATH`, open(2)).
pub(crate) fn open_current_directory() -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY);
    above_standard(options.open(".")?.into())
}

/// `/dev/null` as std opens it for a standard stream (open(2)): to read from for
/// standard input, to write to for the others.
pub(crate) fn open_null(number: u8) -> io::Result<OwnedFd> {
    let reads = number == 0;
    let null = OpenOptions::new()
        .read(reads)
        .write(!reads)
        .open("/dev/null");
    null.map(OwnedFd::from)
}

/// A descriptor that gives end-of-file and takes everything: `/dev/null`, or where
/// there is none, as in a bare root directory, the end of a pipe that nobody has
/// (open(2)).
pub(crate) fn open_nothing() -> io::Result<OwnedFd> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    match null {
        Ok(null) => Ok(null.into()),
        Err(_) => pipe().map(|(read, _)| read),
    }
}

/// A standard stream of this process, to be given to another one. It may be closed:
/// see [`is_open`].
pub(crate) fn standard_stream(number: u8) -> BorrowedFd<'static> {
    // SAFETY: the number is only looked at, and an error if it is not open.
    unsafe { BorrowedFd::borrow_raw(number.into()) }
}

/// Whether a number is open (`F_GETFD`, fcntl(2)).
pub(crate) fn is_open(fd: BorrowedFd<'_>) -> bool {
    descriptor_flags(fd.as_raw_fd()).is_some()
}

/// Opens `/dev/null` on each of 0, 1 and 2 that is closed (open(2)), as std does
/// before `main`: otherwise the next descriptor to be made would be taken for a
/// standard stream.
pub(crate) fn open_standard_streams() -> io::Result<()> {
    for number in 0..=2 {
        if descriptor_flags(number).is_some() {
            continue;
        }
        match missing::FCNTL.last_error() {
            closed if closed.raw_os_error() == Some(libc::EBADF) => {}
            forbidden => return Err(forbidden),
        }
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        // The kernel gives the lowest number that is free, which is this one.
        let null = null.into_raw_fd();
        // SAFETY: the descriptor was opened above and is owned by nobody else.
        if unsafe { libc::fcntl(null, libc::F_SETFD, 0) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Makes standard stream `number` a duplicate of `fd` (dup2(2)).
pub(crate) fn set_standard_stream(number: u8, fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: whoever writes to a standard stream refers to its number.
    match unsafe { libc::dup2(fd.as_raw_fd(), number.into()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes exec close the descriptor (`FD_CLOEXEC`, fcntl(2)).
pub(crate) fn set_close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Makes calls on the descriptor block (`O_NONBLOCK` off, fcntl(2)).
pub(crate) fn set_blocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    flags.remove(OFlag::O_NONBLOCK);
    fcntl(fd, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Makes calls on the descriptor not block (`O_NONBLOCK`, fcntl(2)).
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    flags.insert(OFlag::O_NONBLOCK);
    fcntl(fd, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Closes these descriptors: with one call if their numbers follow each other, as they do
/// when one message has brought them (close_range(2)).
pub(crate) fn close_all(fds: Vec<OwnedFd>) {
    let numbers: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let are_in_a_row = numbers.windows(2).all(|two| two[1] == two[0] + 1);
    if let [first, .., last] = numbers[..]
        && are_in_a_row
    {
        // Closed below. Where the kernel has no such call, they are closed one by one.
        let fds: Vec<_> = fds.into_iter().map(IntoRawFd::into_raw_fd).collect();
        if close_range(first, last, 0).is_err() {
            // SAFETY: each was owned above, and nobody else owns it.
            fds.iter()
                .for_each(|fd| drop(unsafe { OwnedFd::from_raw_fd(*fd) }));
        }
    }
}

/// Closes descriptors that another process has chosen in a thread of their own: it may take
/// as long as the other process likes (a socket that lingers, a file of FUSE's).
pub(crate) fn close_elsewhere(fds: Vec<OwnedFd>) {
    if !fds.is_empty() {
        // Without a thread they are closed here, with the closure.
        let _ = thread::Builder::new().spawn(move || drop(fds));
    }
}

/// Descriptors that stay open when all others are closed.
pub(crate) struct KeepOpen(Vec<RawFd>);

impl KeepOpen {
    pub(crate) fn new(fds: impl IntoIterator<Item = RawFd>) -> KeepOpen {
        let mut sorted: Vec<_> = fds.into_iter().collect();
        sorted.sort_unstable();
        KeepOpen(sorted)
    }

    /// Closes every descriptor above 2 but these (close_range(2)).
    ///
    /// For a process that has just been forked or exec'ed: the owners of the other
    /// descriptors in this address space must not use or drop them again.
    #[inline]
    pub(crate) fn close_others(&self, _: OneThread) -> io::Result<()> {
        let mut first = 3;
        for &fd in &self.0 {
            close_range(first, fd - 1, 0)?;
            first = first.max(fd + 1);
        }
        close_range(first, RawFd::MAX, 0)
    }
}

/// Closes every descriptor above 2 but these, as
/// [`close_others`](KeepOpen::close_others) does.
pub(crate) fn close_all_but(
    one_thread: OneThread,
    fds: impl IntoIterator<Item = RawFd>,
) -> io::Result<()> {
    KeepOpen::new(fds).close_others(one_thread)
}

/// Makes exec close every descriptor above 2 (`CLOSE_RANGE_CLOEXEC`,
/// close_range(2)).
pub(crate) fn close_all_on_exec() -> io::Result<()> {
    if close_range(3, RawFd::MAX, libc::CLOSE_RANGE_CLOEXEC).is_ok() {
        return Ok(());
    }
    // Before Linux 5.11.
    for number in open_above_standard()? {
        // SAFETY: sets a flag of a descriptor.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

#[inline]
fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: the callers close only what nobody in this address space uses again; the
    // flag only marks.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    match result {
        0 => Ok(()),
        _ => Err(missing::CLOSE_RANGE.last_error()),
    }
}

/// The descriptors above 2 that this process has open (`/proc/self/fd`, proc(5));
/// an error without `/proc`.
pub(crate) fn open_above_standard() -> io::Result<Vec<RawFd>> {
    let entries = fs::read_dir("/proc/self/fd")?;
    let number = |entry: io::Result<DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let mut open: Vec<RawFd> = entries.filter_map(number).filter(|fd| *fd > 2).collect();
    // Without the descriptor that read the folder.
    open.retain(|fd| descriptor_flags(*fd).is_some());
    Ok(open)
}

/// Those of the [open descriptors above 2](open_above_standard) that exec does not
/// close.
pub(crate) fn inherited_above_standard() -> io::Result<Vec<RawFd>> {
    let mut open = open_above_standard()?;
    open.retain(|fd| descriptor_flags(*fd).is_some_and(|flags| flags & libc::FD_CLOEXEC == 0));
    Ok(open)
}

/// Duplicates of [those that exec does not close](inherited_above_standard), with their
/// numbers. One that another thread closes meanwhile is left out.
pub(crate) fn duplicates_of_inherited() -> io::Result<Vec<(OwnedFd, RawFd)>> {
    let duplicate = |number: RawFd| {
        // SAFETY: the kernel looks the number up, and a closed one is an error.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        match fd.try_clone_to_owned() {
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => None,
            duplicate => Some(duplicate.map(|duplicate| (duplicate, number))),
        }
    };
    let inherited = inherited_above_standard()?;
    inherited.into_iter().filter_map(duplicate).collect()
}

/// The flags of the descriptor of that number, which may be closed: then `None`
/// (`F_GETFD`, fcntl(2)).
fn descriptor_flags(number: RawFd) -> Option<libc::c_int> {
    // SAFETY: the kernel looks the number up, and a closed one is an error.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    (flags != -1).then_some(flags)
}

/// How many descriptors this process has open (`/proc/self/fd`, proc(5)). Without
/// `/proc`, the lowest number that is free, which `fd` is duplicated to.
pub(crate) fn count_open(fd: BorrowedFd<'_>) -> io::Result<u64> {
    match fs::read_dir("/proc/self/fd") {
        // One of them reads the folder.
        Ok(entries) => Ok((entries.count() as u64).saturating_sub(1)),
        Err(_) => Ok(fd.try_clone_to_owned()?.as_raw_fd().unsigned_abs().into()),
    }
}

/// Reads what there is, up to `buffer`'s length (read(2)).
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(nix::unistd::read(fd, buffer)?)
}

/// Number of bytes that a pipe holds (`FIONREAD`, pipe(7)).
#[cfg(feature = "pool")]
pub(crate) fn waiting_in(pipe: BorrowedFd<'_>) -> io::Result<usize> {
    let mut len: libc::c_int = 0;
    // SAFETY: writes a number to a local.
    match unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut len) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(usize::try_from(len).unwrap_or(0)),
    }
}

/// Writes as much as there is room for (write(2)).
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(nix::unistd::write(fd, bytes)?)
}

/// Writes into a pipe as much as there is room for, and does not wait for more, whatever
/// the pipe's flags say: other processes that have it open may change them
/// (`RWF_NOWAIT`, pwritev2(2)).
pub(crate) fn write_without_waiting(pipe: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let slice = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the slice points to `bytes`, which are only read. The offset -1 is where
    // the file is.
    let written =
        unsafe { libc::pwritev2(pipe.as_raw_fd(), &raw const slice, 1, -1, libc::RWF_NOWAIT) };
    if let Ok(written) = usize::try_from(written) {
        return Ok(written);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Before Linux 6.4, or once somebody has spliced into the pipe: another open file
        // of the same pipe has flags of its own.
        Some(libc::EOPNOTSUPP | libc::ENOSYS) => {
            let own = OpenOptions::new()
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(format!("/proc/self/fd/{}", pipe.as_raw_fd()))?;
            Ok(nix::unistd::write(own, bytes)?)
        }
        _ => Err(error),
    }
}
