//! [`ReplyReader`]: reads `Hello`, `Claim`, `Ready` and `Failed` from a reply socket.
//! RUNS IN: caller
//!
//! The one reader of replies: of a spawn and its cancelling, of a template that is
//! being prepared, and of a program that is exec'ed as a template. It knows a socket
//! and the protocol, and no process.
//!
//! After `Ready` the socket is the worker's, so the reader asks the kernel for the rest
//! of one frame and never for a byte more. Each frame comes at most once, and `Hello`
//! only where one is expected, so what the other side can make the reader read has an
//! end.
//!
//! Nobody is killed or waited for because a child has named it: a pidfd is taken only
//! from the process that it is of. The kernel says with each message who has sent it, and
//! of each pidfd whose it is.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::protocol::Malformed;
use crate::protocol::reply;
use crate::protocol::reply::{HEAD_LEN, Head};
use crate::sys::pidfd::Whose;
use crate::sys::socket::ancillary::Sender;
use crate::sys::{fd, pidfd, socket};

/// A complete frame, or the end of the socket.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A process that was exec'ed as a template has started.
    Hello,
    /// The child is about to run user's code: see [`ReplyReader::claimant`].
    Claim,
    Ready(ReadyChild),
    /// The next frame has a descriptor, for which this process's table has no room. The
    /// frame stays on the socket.
    NoRoom,
    /// The child could not do what it was made for.
    Failed(Error),
    /// The child closed the socket, or exited, before a frame or within one: its exit
    /// says more than half a frame.
    End,
}

/// A child that is about to do what it was made for.
#[derive(Debug)]
pub(crate) struct ReadyChild {
    pub(crate) pid: u32,
    /// `None`: there was no room for it, and the reader
    /// [goes without](ReplyReader::go_without_pidfd).
    pub(crate) pidfd: Option<OwnedFd>,
}

/// The state of reading one child's replies. Owns every descriptor that it has
/// received.
#[derive(Debug, Default)]
pub(crate) struct ReplyReader {
    head: [u8; HEAD_LEN],
    /// The kind of a failure, and room for its whole text, once its head is complete.
    failure: Option<(u16, Vec<u8>)>,
    /// Number of bytes that were read of the head, or of the failure's text.
    filled: usize,
    /// The descriptors that came with the frame, and the process that has sent them.
    fds: Vec<OwnedFd>,
    sender: Option<Sender>,
    /// Whether descriptors that have no room are left out.
    goes_without: bool,
    /// Whether one was left out.
    lacks_pidfd: bool,
    /// The child, before it is ready, and its pid.
    claimant: Option<Arc<OwnedFd>>,
    claimed_pid: Option<u32>,
    /// Whether `Hello` may come.
    takes_hello: bool,
    /// Whether `Ready` has come, after which only a failure may.
    is_ready: bool,
}

impl ReplyReader {
    /// A reader of what a program sends that is exec'ed as a template: `Hello` first.
    pub(crate) fn of_program() -> ReplyReader {
        ReplyReader {
            takes_hello: true,
            ..ReplyReader::default()
        }
    }

    /// Reads what the socket has, without waiting: `None` until a frame is complete.
    ///
    /// May be called again after each reply; for a worker, not after `Ready`.
    pub(crate) fn read(&mut self, socket: BorrowedFd<'_>) -> Result<Option<Reply>> {
        loop {
            match self.receive(socket)? {
                Piece::Nothing => return Ok(None),
                Piece::NoRoom => return Ok(Some(Reply::NoRoom)),
                Piece::End => return Ok(Some(Reply::End)),
                Piece::Bytes(n) => self.filled += n,
            }
            if let Some(reply) = self.take_frame()? {
                return Ok(Some(reply));
            }
        }
    }

    /// Leaves out descriptors that have no room, from now on.
    pub(crate) fn go_without_pidfd(&mut self) {
        self.goes_without = true;
    }

    /// The child, if it has said who it is before it was ready.
    pub(crate) fn claimant(&self) -> Option<&Arc<OwnedFd>> {
        self.claimant.as_ref()
    }

    /// The pid of the child, if it has said who it is before it was ready.
    #[cfg(feature = "pool")]
    pub(crate) fn claimed_pid(&self) -> Option<u32> {
        self.claimed_pid
    }

    /// Whether the socket has given a part of a head, which every child sends in one
    /// call.
    pub(crate) fn is_within_head(&self) -> bool {
        self.failure.is_none() && self.filled > 0
    }

    /// Receives at most the rest of the head or of the text.
    fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<Piece> {
        let received = match &mut self.failure {
            Some((_, text)) => receive_text(socket, &mut text[self.filled..]),
            None => self.receive_head(socket),
        };
        received.or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Ok(Piece::Nothing),
            // The child exited without having read all that was queued for it.
            io::ErrorKind::ConnectionReset => Ok(Piece::End),
            _ => Err(Error::io("read a worker's answer", error)),
        })
    }

    /// Looks before it receives, so that no descriptor is lost for which there is no room.
    fn receive_head(&mut self, socket: BorrowedFd<'_>) -> io::Result<Piece> {
        let (rest, mut fds) = (&mut self.head[self.filled..], Vec::new());
        let seen = socket::peek(socket, rest, &mut fds)?;
        if seen.len == 0 {
            return Ok(Piece::End);
        }
        if seen.fds_cut && !self.goes_without {
            return Ok(Piece::NoRoom);
        }
        let received = socket::receive_bytes(socket, &mut rest[..seen.len])?;
        // The kernel also shows the descriptors of the message that comes after these bytes.
        let has_fds = received.fds_cut;
        self.lacks_pidfd |= has_fds && seen.fds_cut;
        // The sender of the descriptor counts.
        if self.fds.is_empty() {
            self.sender = received.sender;
        }
        if has_fds {
            self.fds.extend(fds);
        }
        Ok(Piece::of(received.len))
    }

    /// Takes the frame, if it is complete. After the head of a failure, its text is
    /// read.
    fn take_frame(&mut self) -> Result<Option<Reply>> {
        let len = self.failure.as_ref().map_or(HEAD_LEN, |it| it.1.len());
        if self.filled < len {
            return Ok(None);
        }
        self.filled = 0;
        let mut fds = mem::take(&mut self.fds);
        if let Some((kind, text)) = self.failure.take() {
            fd::close_elsewhere(fds);
            return Ok(Some(Reply::Failed(reply::parse_failure(kind, &text)?)));
        }
        let head = reply::parse_head(&self.head);
        let takes_pidfd = match head {
            Ok(Head::Ready { .. }) => !self.is_ready,
            Ok(Head::Claim) => !self.is_ready && self.claimant.is_none(),
            _ => false,
        };
        let rest = fds.split_off(fds.len().min(takes_pidfd.into()));
        fd::close_elsewhere(rest);
        let out_of_turn = |what| Err(Malformed::Because(what).into());
        match head? {
            Head::Hello if mem::take(&mut self.takes_hello) => Ok(Some(Reply::Hello)),
            Head::Hello => out_of_turn("it greets out of turn"),
            Head::Claim if !self.is_ready && self.claimant.is_none() => {
                let (pid, pidfd) = self.sender_of(fds.pop())?;
                self.claimant = pidfd.map(Arc::new);
                self.claimed_pid = Some(pid);
                Ok(Some(Reply::Claim))
            }
            Head::Claim => out_of_turn("it says out of turn who it is"),
            Head::Ready { pid: told } if !mem::replace(&mut self.is_ready, true) => {
                self.takes_hello = false;
                let (pid, pidfd) = self.sender_of(fds.pop())?;
                // 0: of a namespace that this process does not see.
                let pid = if pid == 0 { told } else { pid };
                Ok(Some(Reply::Ready(ReadyChild { pid, pidfd })))
            }
            Head::Ready { .. } => out_of_turn("it answers the same twice"),
            Head::Failed { kind, rest } => {
                self.failure = Some((kind, vec![0; rest]));
                Ok(None)
            }
        }
    }

    /// The pid of the process that has sent the frame, and `fd`, which must be the pidfd
    /// of that process.
    fn sender_of(&mut self, fd: Option<OwnedFd>) -> Result<(u32, Option<OwnedFd>)> {
        let pid = self.sender.map(|sender| sender.pid);
        let lacks_pidfd = mem::take(&mut self.lacks_pidfd);
        let (Some(pid), Some(fd)) = (pid, fd) else {
            return match pid {
                Some(pid) if lacks_pidfd => Ok((pid, None)),
                Some(_) => Err(Malformed::Because("it answers without a pidfd").into()),
                None => Err(Malformed::Because("the kernel does not tell who answers").into()),
            };
        };
        let failed = |error| Error::io("check whose pidfd has come", error);
        let error = match pidfd::whose(fd.as_fd(), pid) {
            Ok(Whose::Theirs) => return Ok((pid, Some(fd))),
            Ok(Whose::Others) => {
                Malformed::Because("it answers with a pidfd that is not its own").into()
            }
            // Such a kernel leaves nothing better than the pid that it has told.
            Ok(Whose::Unknown) => match pidfd::open(pid) {
                Ok(fd) => return Ok((pid, Some(fd))),
                Err(error) => failed(error),
            },
            Err(error) => failed(error),
        };
        fd::close_elsewhere(vec![fd]);
        Err(error)
    }
}

fn receive_text(socket: BorrowedFd<'_>, rest: &mut [u8]) -> io::Result<Piece> {
    let mut fds = Vec::new();
    let received = socket::receive(socket, rest, &mut fds)?;
    fd::close_elsewhere(fds);
    Ok(Piece::of(received.len))
}

/// What one call has received.
enum Piece {
    /// Nothing has come yet.
    Nothing,
    /// See [`Reply::NoRoom`].
    NoRoom,
    End,
    Bytes(usize),
}

impl Piece {
    fn of(len: usize) -> Piece {
        match len {
            0 => Piece::End,
            len => Piece::Bytes(len),
        }
    }
}

#[cfg(test)]
mod tests;
