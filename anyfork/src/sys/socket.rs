//! Pairs of Unix sockets, and messages with descriptors over them (unix(7)).
//! RUNS IN: any
//!
//! `send`, `sendmsg` and `recvmsg` are libc's. nix's `recvmsg` returns an error for a message
//! whose descriptors were cut off (a full descriptor table) and loses those that
//! did arrive; here every received descriptor is owned before anything can return.
//! nix's `sendmsg` allocates, for which a process that was just forked pays with
//! page faults.

pub(crate) mod ancillary;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;

use nix::sys::socket::{
    AddressFamily, Shutdown, SockFlag, SockType, setsockopt, shutdown, socketpair, sockopt,
};

use crate::sys::fd::{both_above_standard, set_close_on_exec};
use crate::sys::fd_identity::{Socket, is_socket};
use crate::sys::socket::ancillary::{Control, MAX_FDS, ROOM, Sender, take_control};

/// A connected pair of stream sockets (socketpair(2)).
pub(crate) fn stream_pair() -> io::Result<(UnixStream, UnixStream)> {
    let (one, other) = both_above_standard(UnixStream::pair()?)?;
    Ok((one.into(), other.into()))
}

/// A [`stream_pair`] for replies: `(caller's end, child's end)`. With each message the
/// caller learns which process has sent it (`SO_PASSCRED`, unix(7)).
pub(crate) fn reply_pair() -> io::Result<(UnixStream, UnixStream)> {
    let (caller, child) = stream_pair()?;
    setsockopt(&caller, sockopt::PassCred, &true)?;
    Ok((caller, child))
}

/// Undoes what a [`reply_pair`] has more than a [`stream_pair`]: the socket becomes the
/// user's.
pub(crate) fn forget_senders(caller: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setsockopt(&caller, sockopt::PassCred, &false)?)
}

/// A connected pair of `SOCK_SEQPACKET` sockets, which keep messages apart and
/// report the end of the last sender (socketpair(2)). Neither end ever blocks.
pub(crate) fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    both_above_standard(socketpair(family, kind, None, flags)?)
}

/// A [`message_pair`] for requests: `(owner's end, receiver's end)`. With each message
/// the receiver learns of which user the sender is (`SO_PASSCRED`, unix(7)). On the
/// receiving end only: the kernel would give a sending end a name.
pub(crate) fn control_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (owner, receiver) = message_pair()?;
    setsockopt(&receiver, sockopt::PassCred, &true)?;
    Ok((owner, receiver))
}

/// Makes the peer see the end of this side, which can still receive (shutdown(2)).
pub(crate) fn end_sending(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(shutdown(socket.as_raw_fd(), Shutdown::Write)?)
}

/// Makes the peer see the end of all senders, and refuses what it sends, also if other
/// processes hold this end (shutdown(2)).
pub(crate) fn shut_down(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(shutdown(socket.as_raw_fd(), Shutdown::Both)?)
}

/// Owns the descriptor of that number, which the parent left open across exec, if
/// it is a `SOCK_SEQPACKET` Unix socket (getsockopt(2)), and makes it close-on-exec.
///
/// For the time before `main`, when nobody else has claimed the number.
pub(crate) fn adopt_message_socket(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: the kernel looks the number up, and a closed one is an error.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    if !is_socket(fd, Socket::UnixMessages) {
        return None;
    }
    // SAFETY: it is open, and its number was given to this process to own.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    set_close_on_exec(fd.as_fd()).ok()?;
    Some(fd)
}

/// Makes every further message of the peer fail (`SHUT_RD`, shutdown(2)). What the
/// peer has sent before can still be received.
pub(crate) fn shut_down_receiving(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(shutdown(socket.as_raw_fd(), Shutdown::Read)?)
}

/// Whether a call waits until it can do something, or fails with `WouldBlock`. It
/// waits only on a blocking socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Yes,
    No,
}

impl Wait {
    fn flags(self) -> libc::c_int {
        match self {
            Wait::Yes => 0,
            Wait::No => libc::MSG_DONTWAIT,
        }
    }
}

/// [`send_or_wait`] without waiting (sendmsg(2)).
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    send_or_wait(socket, Wait::No, bytes, fds)
}

/// Sends `bytes` with `fds` and returns how many bytes were sent, which for a
/// message socket is all (send(2), sendmsg(2)).
///
/// Raises no SIGPIPE.
pub(crate) fn send_or_wait(
    socket: BorrowedFd<'_>,
    wait: Wait,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | wait.flags();
    if fds.is_empty() {
        // The kernel has less to copy than with sendmsg.
        return uninterrupted(|| {
            // SAFETY: the kernel only reads `bytes`.
            unsafe {
                libc::send(
                    socket.as_raw_fd(),
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    flags,
                )
            }
        });
    }
    assert!(fds.len() <= MAX_FDS, "the kernel takes no more");
    let mut control = Control::new();
    let mut slice = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut header = control.header(&mut slice);
    let len = size_of_val(fds) as u32;
    // SAFETY: CMSG_SPACE only computes.
    header.msg_controllen = unsafe { libc::CMSG_SPACE(len) } as _;
    // SAFETY: there is room for a header and so many descriptors, aligned, in
    // `control`; a borrowed descriptor is its number.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(len) as _;
        ptr::copy_nonoverlapping(fds.as_ptr().cast(), libc::CMSG_DATA(first), len as usize);
        // The kernel copies the padding, too.
        #[allow(clippy::unnecessary_cast, reason = "it is a u32 with musl")]
        let padding = (header.msg_controllen - (*first).cmsg_len) as usize;
        let end = libc::CMSG_DATA(first).add(len as usize);
        ptr::write_bytes(end, 0, padding);
    }
    // SAFETY: the header points to locals and to `bytes`, which are only read.
    uninterrupted(|| unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, flags) })
}

/// Makes a system call that returns a number of bytes, again if a signal interrupts it.
fn uninterrupted(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        if let Ok(len) = usize::try_from(call()) {
            return Ok(len);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Whether the peer has not yet received something that this end has sent
/// (`SIOCOUTQ`, unix(7)).
pub(crate) fn has_unread(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: writes a number to a local. `TIOCOUTQ` is `SIOCOUTQ`.
    let asked = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    match asked {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(bytes > 0),
    }
}

/// Whether there is something to receive (`SIOCINQ`, unix(7)).
pub(crate) fn has_input(socket: BorrowedFd<'_>) -> bool {
    let mut bytes: libc::c_int = 0;
    // SAFETY: writes a number to a local. `FIONREAD` is `SIOCINQ`.
    let asked = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    asked != -1 && bytes > 0
}

/// The result of one [`receive`].
#[derive(Debug)]
pub(crate) struct Received {
    /// The number of bytes; 0 if the last sender is gone.
    pub(crate) len: usize,
    /// Whether bytes of the message were cut off, because the buffer is too short.
    pub(crate) cut: bool,
    /// Whether descriptors were cut off, because this process's table is full.
    pub(crate) fds_cut: bool,
    /// The sender, on the receiver's end of a [`control_pair`] or of a [`reply_pair`].
    pub(crate) sender: Option<Sender>,
}

/// [`receive_or_wait`] without waiting (recvmsg(2)).
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<Received> {
    receive_or_wait(socket, Wait::No, buffer, fds)
}

/// [`receive`] that leaves everything on the socket (`MSG_PEEK`, recvmsg(2)): the
/// descriptors are duplicates.
pub(crate) fn peek(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<Received> {
    let mut slice = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the slice is `buffer`, which may be written to.
    unsafe { receive_slice(socket, flags, &mut slice, ROOM, fds) }
}

/// [`receive`] that gives the descriptors back to the kernel: [`Received::fds_cut`] says
/// whether there were any.
pub(crate) fn receive_bytes(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut slice = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: only computes.
    let room = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;
    // SAFETY: the slice is `buffer`, which may be written to.
    unsafe {
        receive_slice(
            socket,
            libc::MSG_DONTWAIT,
            &mut slice,
            room,
            &mut Vec::new(),
        )
    }
}

/// Receives a message, or what a stream has, into `buffer`, and appends the
/// descriptors that came with it to `fds` (recvmsg(2)).
pub(crate) fn receive_or_wait(
    socket: BorrowedFd<'_>,
    wait: Wait,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<Received> {
    let mut slice = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: the slice is `buffer`, which may be written to.
    unsafe { receive_slice(socket, wait.flags(), &mut slice, ROOM, fds) }
}

/// As [`receive_or_wait`], but appends at most `limit` bytes to `bytes`, into the room that
/// it has, which is not filled with zeros before (recvmsg(2)).
#[cfg(feature = "pool")]
pub(crate) fn receive_append(
    socket: BorrowedFd<'_>,
    wait: Wait,
    bytes: &mut Vec<u8>,
    limit: usize,
    fds: &mut Vec<OwnedFd>,
) -> io::Result<Received> {
    let before = bytes.len();
    let room = bytes.spare_capacity_mut();
    let mut slice = libc::iovec {
        iov_base: room.as_mut_ptr().cast(),
        iov_len: room.len().min(limit),
    };
    // SAFETY: the slice is the room of `bytes`, which may be written to.
    let received = unsafe { receive_slice(socket, wait.flags(), &mut slice, ROOM, fds) }?;
    // SAFETY: the kernel wrote so many bytes behind those that were there, into the room.
    unsafe { bytes.set_len(before + received.len) };
    Ok(received)
}

/// Receives into `slice`, with these flags and so many bytes of room for what comes with
/// it.
///
/// # Safety
///
/// The memory of `slice` may be written to.
unsafe fn receive_slice(
    socket: BorrowedFd<'_>,
    flags: libc::c_int,
    slice: &mut libc::iovec,
    room: usize,
    fds: &mut Vec<OwnedFd>,
) -> io::Result<Received> {
    let mut control = Control::new();
    let mut header = control.header(slice);
    header.msg_controllen = room.min(ROOM) as _;
    let flags = flags | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to memory of the caller's and to `control`, which live on.
    let len =
        uninterrupted(|| unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) })?;
    let sender = take_control(&header, fds);
    Ok(Received {
        sender,
        len,
        cut: header.msg_flags & libc::MSG_TRUNC != 0,
        fds_cut: header.msg_flags & libc::MSG_CTRUNC != 0,
    })
}

#[cfg(test)]
mod tests;
