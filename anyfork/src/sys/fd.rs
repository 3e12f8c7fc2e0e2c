//! Making and closing descriptors.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, shutdown, socketpair};
use nix::unistd::pipe2;

use crate::sys::fd_identity::{Socket, is_socket};

/// A connected pair of streams: what a worker and its caller talk over
/// (socketpair(2)).
pub(crate) fn stream_pair() -> io::Result<(UnixStream, UnixStream)> {
    let (one, other) = above_standard(UnixStream::pair()?)?;
    Ok((one.into(), other.into()))
}

/// A connected pair that keeps messages apart and tells the end of the last
/// sender: what a template is asked over. Neither end ever blocks.
pub(crate) fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    above_standard(socketpair(family, kind, None, flags)?)
}

/// A pipe (pipe(2)): `(read, write)`.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    above_standard(pipe2(OFlag::O_CLOEXEC)?)
}

/// A pipe, neither end of which ever blocks (pipe(2)): `(read, write)`.
pub(crate) fn status_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    above_standard(pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?)
}

/// The same descriptors under numbers above 2: a program that has closed its
/// standard streams may still print.
fn above_standard(
    pair: (impl Into<OwnedFd>, impl Into<OwnedFd>),
) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok((above(pair.0.into())?, above(pair.1.into())?))
}

pub(crate) fn above(fd: OwnedFd) -> io::Result<OwnedFd> {
    match fd.as_raw_fd() {
        // std duplicates to 3 and above, close-on-exec.
        ..=2 => fd.try_clone(),
        _ => Ok(fd),
    }
}

/// Makes every further message of the peer's fail (shutdown(2)). What it has
/// sent before can still be read.
pub(crate) fn stop_receiving(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(shutdown(socket.as_raw_fd(), Shutdown::Read)?)
}

/// Opens `/dev/null` on each of 0, 1 and 2 that is closed, as std does before
/// `main`: else the next descriptor to be made would be taken for a standard
/// stream.
pub(crate) fn open_standard_streams() -> io::Result<()> {
    for number in 0..=2 {
        // SAFETY: asks for the flags of a number, which may be closed.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } != -1 {
            continue;
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

/// Owns the descriptor of that number, which another program left open for this
/// one, if it is a Unix socket that keeps messages apart.
///
/// Before `main`, when nobody else has claimed it.
pub(crate) fn adopt(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: the number is only looked at, and an error if it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    if !is_socket(fd, Socket::UnixMessages) {
        return None;
    }
    // SAFETY: it is open, and its number was given to this process to own.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    close_on_exec(fd.as_fd()).ok()?;
    Some(fd)
}

/// Has the descriptor closed by exec (fcntl(2)).
pub(crate) fn close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Has calls on the descriptor wait (fcntl(2)).
pub(crate) fn set_blocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    flags.remove(OFlag::O_NONBLOCK);
    fcntl(fd, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Has this process killed as soon as the other end of the socket closes
/// (`O_ASYNC` and `F_SETSIG` of fcntl(2)), also if it is closed already.
pub(crate) fn die_with_peer(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_signal(socket, std::process::id().cast_signed(), libc::SIGKILL)?;
    set_signalling(socket, true)?;
    if crate::sys::poll::is_hung_up(socket) {
        crate::sys::fork::leave(1);
    }
    Ok(())
}

/// Undoes [`die_with_peer`], all of it: the socket may be a worker's from then
/// on, who may want signals of its own.
pub(crate) fn outlive_peer(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_signalling(socket, false)?;
    set_signal(socket, 0, 0)
}

fn set_signalling(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_ASYNC, on);
    fcntl(socket, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

fn set_signal(socket: BorrowedFd<'_>, pid: libc::pid_t, signal: i32) -> io::Result<()> {
    for (command, number) in [(libc::F_SETOWN, pid), (F_SETSIG, signal)] {
        // SAFETY: both commands take a number.
        if unsafe { libc::fcntl(socket.as_raw_fd(), command, number) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Not in libc for this target: the generic number (fcntl(2)).
const F_SETSIG: libc::c_int = 10;

/// Who has said of an open file that it is theirs: all that have it open see the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody yet.
    Nobody,
    /// The process of this pid, which was not collected.
    Process(u32),
    /// One that was collected.
    Gone,
}

/// Who has called [`Remembered::own`] on it (`F_GETOWN_EX`, fcntl(2)).
pub(crate) fn owner(fd: BorrowedFd<'_>) -> io::Result<Owner> {
    /// What the kernel fills in, of `f_owner_ex` (fcntl(2)).
    #[repr(C)]
    struct Found {
        kind: libc::c_int,
        pid: libc::pid_t,
    }
    let mut found = Found { kind: 0, pid: 0 };
    // SAFETY: writes to a local of the kernel's layout.
    if unsafe { libc::fcntl(fd.as_raw_fd(), F_GETOWN_EX, &raw mut found) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(match (found.kind, found.pid) {
        (F_OWNER_PID, 1..) => Owner::Process(found.pid.unsigned_abs()),
        (F_OWNER_PID, _) => Owner::Gone,
        // The kind of a file that nobody has set one for is another.
        _ => Owner::Nobody,
    })
}

/// Not in libc for all targets: the generic numbers (fcntl(2)).
const F_GETOWN_EX: libc::c_int = 16;
const F_OWNER_PID: libc::c_int = 1;

/// Descriptors that stay open when all others are closed.
pub(crate) struct Kept(Vec<RawFd>);

impl Kept {
    pub(crate) fn new(fds: impl IntoIterator<Item = RawFd>) -> Kept {
        let mut kept: Vec<_> = fds.into_iter().collect();
        kept.sort_unstable();
        Kept(kept)
    }

    /// Closes every descriptor above 2 but these (close_range(2)).
    ///
    /// For a process that has just been forked and has one thread: whoever owns the
    /// other descriptors in this address space must not use or drop them again.
    #[inline]
    pub(crate) fn close_others(&self) -> io::Result<()> {
        let mut first = 3;
        for &fd in &self.0 {
            close_range(first, fd - 1)?;
            first = first.max(fd + 1);
        }
        close_range(first, RawFd::MAX)
    }
}

/// Closes every descriptor above 2 but these, as
/// [`close_others`](Kept::close_others) does.
pub(crate) fn close_all_but(kept: impl IntoIterator<Item = RawFd>) -> io::Result<()> {
    Kept::new(kept).close_others()
}

#[inline]
fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: the caller gives all descriptors in the range up.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// By what the thing behind a descriptor's number is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// What a standard stream is now; `None` if it is closed.
pub(crate) fn stream_identity(number: u8) -> Option<Identity> {
    // SAFETY: the number is only looked at, and an error if it is not open.
    identity(unsafe { BorrowedFd::borrow_raw(number.into()) })
}

/// What the current directory is now (stat(2)).
pub(crate) fn directory_identity() -> Option<Identity> {
    let metadata = std::fs::metadata(".").ok()?;
    Some(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

/// The current directory, to be entered by another process (`O_PATH`, open(2)).
pub(crate) fn current_directory() -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY);
    above(options.open(".")?.into())
}

/// What is there now; `None` if the number is not open (fstat(2)).
pub(crate) fn identity(fd: BorrowedFd<'_>) -> Option<Identity> {
    // SAFETY: all-zero is a valid stat.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: writes to a local; a number that is not open is an error.
    let known = unsafe { libc::fstat(fd.as_raw_fd(), &raw mut stat) } == 0;
    #[allow(clippy::unnecessary_cast, reason = "they have 32 bits elsewhere")]
    known.then_some(Identity {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
    })
}

/// A descriptor of which only the number is kept, because code that is none of
/// ours runs in between and may close it: it is used only while it is what it was.
pub(crate) struct Remembered {
    number: RawFd,
    identity: Identity,
}

impl Remembered {
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Option<Remembered> {
        let number = fd.as_raw_fd();
        identity(fd).map(|identity| Remembered { number, identity })
    }

    fn get(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the number is only looked at, and an error if it is not open.
        let fd = unsafe { BorrowedFd::borrow_raw(self.number) };
        (identity(fd) == Some(self.identity)).then_some(fd)
    }

    /// Says that the open file is this process's, for [`owner`] (`F_SETOWN`,
    /// fcntl(2)). No signal comes of that.
    pub(crate) fn own(&self) -> io::Result<()> {
        let fd = self.get().ok_or(io::ErrorKind::NotFound)?;
        let pid = std::process::id().cast_signed();
        // SAFETY: the command takes a number.
        match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETOWN, pid) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// Writes what there is room for.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let fd = self.get().ok_or(io::ErrorKind::NotFound)?;
        write(fd, bytes)
    }

    /// How much a pipe holds (`F_GETPIPE_SZ` of fcntl(2)); a page if that is not
    /// known.
    pub(crate) fn capacity(&self) -> usize {
        let size = self.get().map(|fd| fcntl(fd, FcntlArg::F_GETPIPE_SZ));
        let known = size.and_then(|size| usize::try_from(size.ok()?).ok());
        known.unwrap_or(4096)
    }
}

/// The descriptors above 2 that this process has open; an error without `/proc`.
pub(crate) fn open_above_standard() -> io::Result<Vec<RawFd>> {
    let entries = std::fs::read_dir("/proc/self/fd")?;
    let number =
        |entry: io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let mut open: Vec<RawFd> = entries.filter_map(number).filter(|fd| *fd > 2).collect();
    // Without the one that has read the folder.
    // SAFETY: asks for the flags of a number, which may be closed.
    open.retain(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } != -1);
    Ok(open)
}

/// Of these, those that exec does not close.
pub(crate) fn inherited_above_standard() -> io::Result<Vec<RawFd>> {
    let mut open = open_above_standard()?;
    // SAFETY: asks for the flags of a number, which may be closed.
    open.retain(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } & libc::FD_CLOEXEC == 0);
    Ok(open)
}

/// How many descriptors this process has open. Without `/proc`, the lowest
/// number that is free, which `one` is duplicated to.
pub(crate) fn open_descriptors(one: BorrowedFd<'_>) -> io::Result<u64> {
    match std::fs::read_dir("/proc/self/fd") {
        // One of them reads the folder.
        Ok(entries) => Ok((entries.count() as u64).saturating_sub(1)),
        Err(_) => Ok(one.try_clone_to_owned()?.as_raw_fd().unsigned_abs().into()),
    }
}

/// How many descriptors the process may have: `(soft, hard)`, `RLIMIT_NOFILE`
/// of getrlimit(2).
pub(crate) fn descriptor_limit() -> io::Result<(u64, u64)> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?)
}

/// Sets the same.
pub(crate) fn set_descriptor_limit((soft, hard): (u64, u64)) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?)
}

/// Reads what is there, up to `buffer`'s length (read(2)).
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(nix::unistd::read(fd, buffer)?)
}

/// Writes what there is room for (write(2)).
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(nix::unistd::write(fd, bytes)?)
}
