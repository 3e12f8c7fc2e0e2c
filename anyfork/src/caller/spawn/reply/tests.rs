//! Replies of every kind, on a socket pair without a process.
//! RUNS IN: caller

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process;

use crate::caller::spawn::reply::*;
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
    assert!(matches!(reply, Some(Reply::Failed(error)) if error.to_string().len() == MAX_FAILURE));

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
