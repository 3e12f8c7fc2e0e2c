//! What is behind a descriptor: its type, and whether it is still the same.
//! RUNS IN: any

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::sockopt::{AcceptConn, SockType as TypeOption};
use nix::sys::socket::{AddressFamily, SockType, getsockname, getsockopt};
use nix::sys::socket::{SockaddrLike, SockaddrStorage};
use nix::sys::stat::{SFlag, fstat};

use crate::sys::peer;

/// The kinds of socket that std has types for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    TcpListener,
    TcpStream,
    Udp,
    UnixListener,
    UnixStream,
    UnixDatagram,
    /// `SOCK_SEQPACKET`: keeps messages apart and in order, and reports the end.
    UnixMessages,
}

/// Whether this is a pipe or a FIFO (fstat(2)).
pub(crate) fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    fstat(fd)
        .is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFIFO)
}

/// Whether this is a socket of that kind (getsockopt(2), getsockname(2)).
///
/// A message-keeping Unix socket counts as a datagram one: std's type serves
/// both.
pub(crate) fn is_socket(fd: BorrowedFd<'_>, wanted: Socket) -> bool {
    let Ok(kind) = getsockopt(&fd, TypeOption) else {
        return false;
    };
    let Ok(address) = getsockname::<SockaddrStorage>(fd.as_raw_fd()) else {
        return false;
    };
    let internet = matches!(
        address.family(),
        Some(AddressFamily::Inet | AddressFamily::Inet6)
    );
    let unix = address.family() == Some(AddressFamily::Unix);
    let listens = getsockopt(&fd, AcceptConn).unwrap_or(false);
    match wanted {
        Socket::TcpListener => internet && kind == SockType::Stream && listens,
        Socket::TcpStream => internet && kind == SockType::Stream && !listens,
        Socket::Udp => internet && kind == SockType::Datagram,
        Socket::UnixListener => unix && kind == SockType::Stream && listens,
        Socket::UnixStream => unix && kind == SockType::Stream && !listens,
        Socket::UnixMessages => unix && kind == SockType::SeqPacket,
        Socket::UnixDatagram => unix && matches!(kind, SockType::Datagram | SockType::SeqPacket),
    }
}

/// Device and inode: two descriptors of the same identity lead to the same file,
/// pipe or socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// The identity of what the descriptor leads to; `None` if it is not open
/// (fstat(2)).
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

/// Whether the descriptor is closed, or leads to something else than `before`. A process
/// that may not ask (seccomp(2) denies it fstat(2)) is told that nothing has changed.
pub(crate) fn leads_elsewhere(fd: BorrowedFd<'_>, before: Option<Identity>) -> bool {
    let now = identity(fd);
    let denied = now.is_none() && Errno::last() != Errno::EBADF;
    now != before && !denied
}

/// The identity of standard stream `number`; `None` if it is closed (fstat(2)).
pub(crate) fn stream_identity(number: u8) -> Option<Identity> {
    // SAFETY: the kernel looks the number up, and a closed one is an error.
    identity(unsafe { BorrowedFd::borrow_raw(number.into()) })
}

/// The identity of the current directory (stat(2)).
pub(crate) fn directory_identity() -> Option<Identity> {
    let metadata = fs::metadata(".").ok()?;
    Some(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

/// A pipe's write end of which this process keeps only the number, because the user's
/// code runs in between and may close it. It is used only while what has the number is
/// a pipe with the [mark](peer::mark), which a process that has confined itself
/// (seccomp(2)) can find out, too.
pub(crate) struct RememberedFd(RawFd);

impl RememberedFd {
    /// Marks the pipe, and keeps its number.
    pub(crate) fn new(pipe: BorrowedFd<'_>) -> Option<RememberedFd> {
        let marked = peer::mark(pipe);
        marked.ok().map(|()| RememberedFd(pipe.as_raw_fd()))
    }

    /// The number that it keeps.
    pub(crate) fn number(&self) -> RawFd {
        self.0
    }

    /// The marked pipe that has this [number](RememberedFd::number).
    pub(crate) fn of_number(number: RawFd) -> Option<RememberedFd> {
        (number >= 0).then_some(RememberedFd(number))
    }

    /// The pipe, if it is still open.
    pub(crate) fn get(&self) -> io::Result<BorrowedFd<'_>> {
        // SAFETY: the kernel looks the number up, and a closed one is an error.
        let fd = unsafe { BorrowedFd::borrow_raw(self.0) };
        match peer::is_marked(fd) && fcntl(fd, FcntlArg::F_GETPIPE_SZ).is_ok() {
            true => Ok(fd),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Writes as much as there is room for (write(2)). A process that has made its own
    /// pipe blocking waits here, and nobody waits with it; and one that has confined
    /// itself may not be allowed more than this call.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(self.get()?, bytes)?)
    }

    /// How many bytes a pipe holds (`F_GETPIPE_SZ`, fcntl(2)); a page if that is not
    /// known.
    pub(crate) fn pipe_capacity(&self) -> usize {
        let size = self
            .get()
            .and_then(|fd| Ok(fcntl(fd, FcntlArg::F_GETPIPE_SZ)?));
        let known = size.ok().and_then(|size| usize::try_from(size).ok());
        known.unwrap_or(4096)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn a_number_that_is_another_pipe_is_not_written_to() {
        let (mut read, write) = std::io::pipe().unwrap();
        let (mut other_read, other) = std::io::pipe().unwrap();
        let remembered = RememberedFd::new(write.as_fd()).unwrap();
        assert_eq!(remembered.write(b"a").unwrap(), 1);
        let mut number = OwnedFd::from(write);
        nix::unistd::dup2(&other, &mut number).unwrap();
        assert!(remembered.write(b"b").is_err());
        drop((number, other));
        let mut texts = [String::new(), String::new()];
        read.read_to_string(&mut texts[0]).unwrap();
        other_read.read_to_string(&mut texts[1]).unwrap();
        assert_eq!(texts, ["a", ""]);
    }

    #[test]
    fn every_kind_is_told_from_every_other() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (unix, _other) = UnixStream::pair().unwrap();
        let datagram = UnixDatagram::unbound().unwrap();
        let sockets = [
            (listener.as_fd(), Socket::TcpListener),
            (stream.as_fd(), Socket::TcpStream),
            (udp.as_fd(), Socket::Udp),
            (unix.as_fd(), Socket::UnixStream),
            (datagram.as_fd(), Socket::UnixDatagram),
        ];
        for (fd, kind) in sockets {
            for (_, wanted) in sockets {
                assert_eq!(
                    is_socket(fd, wanted),
                    kind == wanted,
                    "{kind:?} as {wanted:?}"
                );
            }
            assert!(!is_pipe(fd));
        }
        let (read, _write) = std::io::pipe().unwrap();
        assert!(is_pipe(read.as_fd()) && !is_socket(read.as_fd(), Socket::UnixStream));
    }
}
