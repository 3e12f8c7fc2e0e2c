//! What kind of thing a descriptor is.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::sockopt::{AcceptConn, SockType as TypeOption};
use nix::sys::socket::{AddressFamily, SockType, getsockname, getsockopt};
use nix::sys::socket::{SockaddrLike, SockaddrStorage};
use nix::sys::stat::{SFlag, fstat};

/// The kinds of socket that std has types for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    TcpListener,
    TcpStream,
    Udp,
    UnixListener,
    UnixStream,
    UnixDatagram,
    /// Keeps messages apart and order, and tells the end.
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

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

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
