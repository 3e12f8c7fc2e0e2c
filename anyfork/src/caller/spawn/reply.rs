//! [`ReplyReader`]: reads `Hello`, `Ready` and `Failed` from a reply socket.
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

use std::io;
use std::mem;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::error::{Error, Result};
use crate::protocol::Malformed;
use crate::protocol::reply;
use crate::protocol::reply::{HEAD_LEN, Head};
use crate::sys::socket;

/// A complete frame, or the end of the socket.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A process that was exec'ed as a template has started.
    Hello,
    Ready(ReadyChild),
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
    /// `None`: this process's descriptor table was full when the pidfd arrived.
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
    /// The first descriptor that came with the frame.
    fd: Option<OwnedFd>,
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
                None => return Ok(None),
                Some(0) => return Ok(Some(Reply::End)),
                Some(n) => self.filled += n,
            }
            if let Some(reply) = self.take_frame()? {
                return Ok(Some(reply));
            }
        }
    }

    /// Whether the socket has given a part of a head, which every child sends in one
    /// call.
    pub(crate) fn is_within_head(&self) -> bool {
        self.failure.is_none() && self.filled > 0
    }

    /// Receives at most the rest of the head or of the text: `None` if there is nothing
    /// yet, 0 at the end.
    fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<Option<usize>> {
        let rest = match &mut self.failure {
            Some((_, text)) => &mut text[self.filled..],
            None => &mut self.head[self.filled..],
        };
        let mut fds = Vec::new();
        let received = socket::receive(socket, rest, &mut fds);
        if self.fd.is_none() {
            self.fd = fds.into_iter().next();
        }
        match received {
            Ok(received) => Ok(Some(received.len)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(None),
                // The child exited without having read all that was queued for it.
                io::ErrorKind::ConnectionReset => Ok(Some(0)),
                _ => Err(Error::io("read a worker's answer", error)),
            },
        }
    }

    /// Takes the frame, if it is complete. After the head of a failure, its text is
    /// read.
    fn take_frame(&mut self) -> Result<Option<Reply>> {
        let len = self.failure.as_ref().map_or(HEAD_LEN, |it| it.1.len());
        if self.filled < len {
            return Ok(None);
        }
        self.filled = 0;
        let fd = self.fd.take();
        if let Some((kind, text)) = self.failure.take() {
            return Ok(Some(Reply::Failed(reply::parse_failure(kind, &text)?)));
        }
        match reply::parse_head(&self.head)? {
            Head::Hello if mem::take(&mut self.takes_hello) => Ok(Some(Reply::Hello)),
            Head::Hello => Err(Malformed::Because("it greets out of turn").into()),
            Head::Ready { pid } if !mem::replace(&mut self.is_ready, true) => {
                self.takes_hello = false;
                Ok(Some(Reply::Ready(ReadyChild { pid, pidfd: fd })))
            }
            Head::Ready { .. } => Err(Malformed::Because("it answers the same twice").into()),
            Head::Failed { kind, rest } => {
                self.failure = Some((kind, vec![0; rest]));
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::error::ErrorKind;
    use crate::protocol::MAX_FAILURE;

    /// A reader with the two ends of its socket: ours, and the child's.
    fn scene() -> (ReplyReader, UnixStream, UnixStream) {
        let (mine, theirs) = UnixStream::pair().unwrap();
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

    fn assert_ready(reply: Option<Reply>, pid: u32) -> Option<OwnedFd> {
        match reply {
            Some(Reply::Ready(ready)) if ready.pid == pid => ready.pidfd,
            other => panic!("{other:?}"),
        }
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
        theirs.write_all(&reply::ready(7)).unwrap();
        theirs.write_all(&failure()).unwrap();
        let mut next = || reader.read(mine.as_fd()).unwrap();
        assert!(matches!(next(), Some(Reply::Hello)));
        assert!(assert_ready(next(), 7).is_none());
        assert_failed(next());
        assert!(next().is_none());
    }

    #[test]
    fn split_frames_are_put_together() {
        let (mut reader, mine, mut theirs) = scene();
        let bytes = [&reply::hello()[..], &reply::ready(0x1234), &failure()].concat();
        let mut replies = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            theirs.write_all(&[*byte]).unwrap();
            let reply = reader.read(mine.as_fd()).unwrap();
            let is_end = [HEAD_LEN, 2 * HEAD_LEN, bytes.len()].contains(&(at + 1));
            assert_eq!(reply.is_some(), is_end, "after {at} bytes: {reply:?}");
            assert_eq!(reader.is_within_head(), !is_end && at < 3 * HEAD_LEN - 1);
            replies.extend(reply);
        }
        assert_failed(replies.pop());
        assert!(assert_ready(replies.pop(), 0x1234).is_none());
        assert!(matches!(replies[..], [Reply::Hello]));
    }

    #[test]
    fn the_worker_s_bytes_stay_on_the_socket() {
        let (mut reader, mut mine, mut theirs) = scene();
        theirs.write_all(&reply::ready(7)).unwrap();
        theirs.write_all(b"hello").unwrap();
        drop(theirs);
        assert_ready(reader.read(mine.as_fd()).unwrap(), 7);
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
        for frames in [[hello, hello], [ready, ready], [ready, hello]] {
            let (mut reader, mine, mut theirs) = scene();
            theirs.write_all(&frames.concat()).unwrap();
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
        let (read, write) = io::pipe().unwrap();
        let ready = reply::ready(7);
        // A reader may see the head in two pieces; the descriptor comes with the first.
        socket::send(theirs.as_fd(), &ready[..3], &[write.as_fd()]).unwrap();
        drop(write);
        assert!(reader.read(mine.as_fd()).unwrap().is_none());
        socket::send(theirs.as_fd(), &ready[3..], &[]).unwrap();
        let pidfd = assert_ready(reader.read(mine.as_fd()).unwrap(), 7);
        assert!(!is_closed(read.try_clone().unwrap()));
        drop(pidfd.expect("one was sent"));
        assert!(is_closed(read));
    }

    #[test]
    fn descriptors_that_no_frame_has_are_closed() {
        let (mut reader, mine, theirs) = scene();
        let (read, write) = io::pipe().unwrap();
        let fds = [write.as_fd(), write.as_fd()];
        socket::send(theirs.as_fd(), &reply::hello(), &fds).unwrap();
        socket::send(theirs.as_fd(), &failure(), &fds).unwrap();
        drop(write);
        assert!(matches!(reader.read(mine.as_fd()), Ok(Some(Reply::Hello))));
        assert_failed(reader.read(mine.as_fd()).unwrap());
        assert!(is_closed(read), "without the reader being dropped");
        assert!(reader.read(mine.as_fd()).unwrap().is_none());
    }
}
