//! Tests of the conversation with a worker, which a thread stands in for.
//! RUNS IN: caller

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;

use crate::error::ErrorKind;
use crate::pool::connection::{Connection, Outcome, Progress};
use crate::pool::request::Request;
use crate::protocol::call::incoming::Incoming;
use crate::protocol::call::outgoing::Outgoing;
use crate::protocol::call::{Kind, Payload, Terms};
use crate::sys::poll::{self, Interest};
use crate::sys::socket::{self, Wait};

fn request(number: u64, arguments: Payload) -> Request {
    Request {
        number,
        name: "a::f",
        terms: Terms {
            fingerprint: 1,
            max_result: 1 << 30,
            keep_after_panic: false,
            is_last: false,
            at_once: 0,
            is_ahead: false,
        },
        arguments,
        items: None,
    }
}

/// Takes steps until the call is over.
fn finish(connection: &mut Connection) -> Progress {
    loop {
        match connection.step().unwrap() {
            Progress::WaitFor(wait) => {
                let socket = connection.socket();
                let mut fds = vec![(socket, Interest::Readable)];
                fds.extend(wait.writable.then_some((socket, Interest::Writable)));
                poll::wait_any(&fds, None).unwrap();
            }
            progress => return progress,
        }
    }
}

/// Receives one request, and sends its payload back.
fn echo(socket: &UnixStream) {
    let mut incoming = Incoming::new(1 << 30);
    let frame = loop {
        if let Some(frame) = incoming.frame().unwrap() {
            break frame;
        }
        let room = incoming.room();
        let (fd, wait) = (socket.as_fd(), Wait::Yes);
        socket::receive_append(fd, wait, room.bytes, room.limit, room.fds).unwrap();
    };
    assert_eq!(frame.name(), Ok("a::f"));
    let (number, mut payload) = (frame.head.number, frame.payload);
    payload.main.drain(..frame.head.name);
    let mut answer = Outgoing::new(Kind::Returned, number, false, "", payload);
    while let Some((bytes, fds)) = answer.next() {
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let sent = socket::send_or_wait(socket.as_fd(), Wait::Yes, bytes, &fds).unwrap();
        answer.sent(sent);
    }
}

#[test]
fn calls_follow_each_other() {
    let (here, there) = socket::stream_pair().unwrap();
    let worker = thread::spawn(move || (0..3).for_each(|_| echo(&there)));
    let mut connection = Connection::new(here.into());
    for number in 1..=3 {
        let (reader, writer) = io::pipe().unwrap();
        let payload = Payload {
            main: vec![number as u8; 3],
            blobs: vec![vec![7; 3 << 20]],
            fds: vec![writer.into()].into(),
        };
        connection.start(request(number, payload));
        let Progress::Reply(reply) = finish(&mut connection) else {
            panic!("no answer");
        };
        assert!(!reply.retires, "{number}");
        let Outcome::Returned(mut payload) = reply.outcome else {
            panic!("{reply:?}");
        };
        assert_eq!(payload.main, [number as u8; 3]);
        assert!(payload.blobs[0] == vec![7; 3 << 20]);
        let mut writer = File::from(payload.fds.pop().unwrap());
        writer.write_all(b"x").unwrap();
        drop(writer);
        // No other process and nobody here has the write end.
        let mut text = String::new();
        (&reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert!(connection.is_usable());
    }
    worker.join().unwrap();
    assert!(matches!(connection.step(), Ok(Progress::Ended)));
    assert!(!connection.is_usable());
}

#[test]
fn a_request_that_nobody_took_comes_back() {
    for len in [10, 10 << 20] {
        let (here, there) = socket::stream_pair().unwrap();
        let mut connection = Connection::new(here.into());
        let payload = Payload {
            main: b"args".to_vec(),
            blobs: vec![vec![1; len]],
            fds: Vec::new().into(),
        };
        connection.start(request(5, payload));
        let _ = connection.send_step().unwrap();
        drop(there);
        assert!(matches!(finish(&mut connection), Progress::Ended));
        let back = connection.take_back().unwrap();
        assert_eq!((back.number, &back.arguments.main[..]), (5, &b"args"[..]));
        assert!(back.arguments.blobs == [vec![1; len]]);
        assert!(!connection.is_usable());
    }
}

#[test]
fn delivered_descriptors_do_not_come_back() {
    let (here, there) = socket::stream_pair().unwrap();
    let mut connection = Connection::new(here.into());
    let fds: Vec<OwnedFd> = vec![io::pipe().unwrap().0.into()];
    let payload = Payload {
        fds: fds.into(),
        ..Payload::default()
    };
    connection.start(request(5, payload));
    assert_eq!(connection.send_step().unwrap(), None);
    drop(there);
    assert!(matches!(finish(&mut connection), Progress::Ended));
    assert!(connection.take_back().is_none());
}

#[test]
fn nonsense_is_an_error() {
    let (here, mut there) = socket::stream_pair().unwrap();
    there.write_all(&[0xff; 48]).unwrap();
    let mut connection = Connection::new(here.into());
    let error = connection.step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(!connection.is_usable());

    let (here, there) = socket::stream_pair().unwrap();
    let mut connection = Connection::new(here.into());
    connection.start(request(5, Payload::default()));
    let answer = Outgoing::new(Kind::Returned, 6, false, "", Payload::default());
    let (bytes, _) = answer.next().unwrap();
    socket::send(there.as_fd(), bytes, &[]).unwrap();
    let error = connection.step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}
