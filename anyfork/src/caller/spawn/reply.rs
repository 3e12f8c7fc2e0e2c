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
use crate::sys::socket::Sender;
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
    /// The child, before it is ready.
    claimant: Option<Arc<OwnedFd>>,
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
                let (_, pidfd) = self.sender_of(fds.pop())?;
                self.claimant = pidfd.map(Arc::new);
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
        let failed = |error| Error::io("look whose pidfd has come", error);
        let error = match pidfd::whose(fd.as_fd(), pid) {
            Ok(Whose::Theirs) => return Ok((pid, Some(fd))),
            Ok(Whose::Others) => {
                Malformed::Because("it answers with what is not its own pidfd").into()
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
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::process;

    use super::*;
    use crate::error::ErrorKind;
    use crate::protocol::MAX_FAILURE;

    /// A reader with the two ends of its socket: ours, and the child's.
    fn scene() -> (ReplyReader, UnixStream, UnixStream) {
        let (mine, theirs) = socket::reply_pair().unwrap();
        (ReplyReader::of_program(), mine, theirs)
    }

    fn failure() -> Vec<u8> {
        let os = io::Error::from_raw_os_error(libc::ENOENT);
        reply::failed(&Error::os(ErrorKind::ExecFailed, "execute `x`", os))
    }

    fn assert_failed(reply: Option<Reply>) {
        let Some(Reply::Failed(error)) = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(error.kind(), ErrorKind::ExecFailed);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert!(error.to_string().starts_with("execute `x`: "), "{error}");
    }

    /// Asserts that this process has answered, whatever pid it tells.
    fn assert_ready(reply: Option<Reply>) -> OwnedFd {
        match reply {
            Some(Reply::Ready(ready)) if ready.pid == process::id() => ready.pidfd.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn send(theirs: &UnixStream, frame: &[u8], fd: impl AsFd) {
        socket::send(theirs.as_fd(), frame, &[fd.as_fd()]).unwrap();
    }

    /// Sends a frame with this process's pidfd.
    fn send_own(theirs: &UnixStream, frame: &[u8]) {
        send(theirs, frame, pidfd::open(process::id()).unwrap());
    }

    fn assert_refused(replied: Result<Option<Reply>>) {
        assert_eq!(replied.unwrap_err().kind(), ErrorKind::Protocol);
    }

    /// Whether every copy of the pipe's write end is closed.
    fn is_closed(mut read: io::PipeReader) -> bool {
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&read, flags).unwrap();
        matches!(read.read(&mut [0]), Ok(0))
    }

    #[test]
    fn whole_frames_are_read_in_order() {
        let (mut reader, mine, mut theirs) = scene();
        assert!(reader.read(mine.as_fd()).unwrap().is_none());
        theirs.write_all(&reply::hello()).unwrap();
        send_own(&theirs, &reply::claim());
        send_own(&theirs, &reply::ready(7));
        theirs.write_all(&failure()).unwrap();
        let mut next = || reader.read(mine.as_fd()).unwrap();
        assert!(matches!(next(), Some(Reply::Hello)));
        assert!(matches!(next(), Some(Reply::Claim)));
        assert_ready(next());
        assert_failed(next());
        assert!(next().is_none());
    }

    #[test]
    fn split_frames_are_put_together() {
        let (mut reader, mine, mut theirs) = scene();
        let bytes = [&reply::hello()[..], &reply::ready(0x1234), &failure()].concat();
        let mut replies = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            match at == HEAD_LEN {
                true => send_own(&theirs, &[*byte]),
                false => theirs.write_all(&[*byte]).unwrap(),
            }
            let reply = reader.read(mine.as_fd()).unwrap();
            let is_end = [HEAD_LEN, 2 * HEAD_LEN, bytes.len()].contains(&(at + 1));
            assert_eq!(reply.is_some(), is_end, "after {at} bytes: {reply:?}");
            assert_eq!(reader.is_within_head(), !is_end && at < 3 * HEAD_LEN - 1);
            replies.extend(reply);
        }
        assert_failed(replies.pop());
        assert_ready(replies.pop());
        assert!(matches!(replies[..], [Reply::Hello]));
    }

    #[test]
    fn the_worker_s_bytes_stay_on_the_socket() {
        let (mut reader, mut mine, mut theirs) = scene();
        send_own(&theirs, &reply::ready(7));
        theirs.write_all(b"hello").unwrap();
        drop(theirs);
        assert_ready(reader.read(mine.as_fd()).unwrap());
        let mut rest = String::new();
        mine.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "hello");
    }

    #[test]
    fn a_failure_comes_in_pieces_of_any_size() {
        for piece in [1, 3, HEAD_LEN, HEAD_LEN + 1, 64] {
            let (mut reader, mine, mut theirs) = scene();
            let mut last = None;
            for piece in failure().chunks(piece) {
                assert!(last.is_none());
                theirs.write_all(piece).unwrap();
                last = reader.read(mine.as_fd()).unwrap();
            }
            assert_failed(last);
        }
    }

    #[test]
    fn the_longest_failure_is_read_and_a_longer_one_refused() {
        let (mut reader, mine, mut theirs) = scene();
        let bytes = reply::failed(&Error::new(ErrorKind::Io, "x".repeat(MAX_FAILURE)));
        theirs.write_all(&bytes).unwrap();
        let reply = reader.read(mine.as_fd()).unwrap();
        assert!(
            matches!(reply, Some(Reply::Failed(error)) if error.to_string().len() == MAX_FAILURE)
        );

        let len = (MAX_FAILURE as u32 + 5).to_le_bytes();
        theirs.write_all(&[&bytes[..4], &len].concat()).unwrap();
        let error = reader.read(mine.as_fd()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }

    #[test]
    fn a_socket_that_ends_is_no_error() {
        // Before a frame, within the head, and within the text.
        for bytes in [&[][..], &reply::ready(7)[..5], &failure()[..HEAD_LEN + 2]] {
            let (mut reader, mine, mut theirs) = scene();
            theirs.write_all(bytes).unwrap();
            assert!(reader.read(mine.as_fd()).unwrap().is_none());
            drop(theirs);
            for _ in 0..2 {
                let reply = reader.read(mine.as_fd()).unwrap();
                assert!(matches!(reply, Some(Reply::End)), "{reply:?}");
            }
        }
        // A peer that has not read all: the kernel reports a reset.
        let (mut reader, mut mine, theirs) = scene();
        mine.write_all(b"unread").unwrap();
        drop(theirs);
        let reply = reader.read(mine.as_fd()).unwrap();
        assert!(matches!(reply, Some(Reply::End)), "{reply:?}");
    }

    #[test]
    fn a_frame_that_comes_twice_is_refused() {
        let (hello, ready) = (reply::hello(), reply::ready(7));
        let claim = reply::claim();
        for frames in [
            [hello, hello],
            [ready, ready],
            [ready, hello],
            [claim, claim],
            [ready, claim],
        ] {
            let (mut reader, mine, theirs) = scene();
            frames.iter().for_each(|frame| send_own(&theirs, frame));
            assert!(reader.read(mine.as_fd()).unwrap().is_some());
            let error = reader.read(mine.as_fd()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        }
    }

    #[test]
    fn a_greeting_that_nobody_expects_is_refused() {
        let (_, mine, mut theirs) = scene();
        theirs.write_all(&reply::hello()).unwrap();
        let error = ReplyReader::default().read(mine.as_fd()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }

    #[test]
    fn other_bytes_are_a_protocol_error() {
        let (mut reader, mine, mut theirs) = scene();
        theirs.write_all(b"HTTP/1.1 400 Bad Request").unwrap();
        let error = reader.read(mine.as_fd()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }

    #[test]
    fn ready_has_the_descriptor_that_came_with_it() {
        let (mut reader, mine, theirs) = scene();
        let ready = reply::ready(7);
        // A reader may see the head in two pieces; the descriptor comes with the first.
        send_own(&theirs, &ready[..3]);
        assert!(reader.read(mine.as_fd()).unwrap().is_none());
        socket::send(theirs.as_fd(), &ready[3..], &[]).unwrap();
        let pidfd = assert_ready(reader.read(mine.as_fd()).unwrap());
        assert_eq!(
            pidfd::whose(pidfd.as_fd(), process::id()).unwrap(),
            Whose::Theirs
        );
        assert_eq!(pidfd::whose(pidfd.as_fd(), 1).unwrap(), Whose::Others);
    }

    #[test]
    fn nobody_but_the_sender_is_taken_for_it() {
        let parent = std::os::unix::process::parent_id();
        for frame in [reply::ready(parent), reply::claim()] {
            let (mut reader, mine, theirs) = scene();
            send(&theirs, &frame, pidfd::open(parent).unwrap());
            assert_refused(reader.read(mine.as_fd()));

            let (mut reader, mine, theirs) = scene();
            send(&theirs, &frame, io::pipe().unwrap().0);
            assert_refused(reader.read(mine.as_fd()));

            let (mut reader, mine, mut theirs) = scene();
            theirs.write_all(&frame).unwrap();
            assert_refused(reader.read(mine.as_fd()));
        }
        // A socket on which the kernel does not tell who has sent.
        let (mine, theirs) = socket::stream_pair().unwrap();
        send_own(&theirs, &reply::ready(7));
        assert_refused(ReplyReader::default().read(mine.as_fd()));
    }

    #[test]
    fn descriptors_that_no_frame_has_are_closed() {
        let (mut reader, mine, theirs) = scene();
        let (read, write) = io::pipe().unwrap();
        let fds = [write.as_fd(), write.as_fd()];
        let own = pidfd::open(process::id()).unwrap();
        socket::send(theirs.as_fd(), &reply::hello(), &fds).unwrap();
        let too_many = [own.as_fd(), write.as_fd(), write.as_fd()];
        socket::send(theirs.as_fd(), &reply::ready(7), &too_many).unwrap();
        socket::send(theirs.as_fd(), &failure(), &fds).unwrap();
        drop(write);
        assert!(matches!(reader.read(mine.as_fd()), Ok(Some(Reply::Hello))));
        assert_ready(reader.read(mine.as_fd()).unwrap());
        assert_failed(reader.read(mine.as_fd()).unwrap());
        // A thread closes them, without the reader being dropped.
        while !is_closed(read.try_clone().unwrap()) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(reader.read(mine.as_fd()).unwrap().is_none());
    }
}
