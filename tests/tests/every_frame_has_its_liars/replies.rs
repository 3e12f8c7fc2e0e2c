//! Liars on the reply socket and in the status pipe.

use std::io::{self, PipeReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::id;
use std::thread;
use std::time::Duration;

use anyfork::{Args, ErrorKind, Process, args};
use anyfork_tests::hostile::{
    CLAIM, HELLO, failed, failure, lingering_until, pidfd_of, ready, record, reply_socket,
    send_with, status_pipe, write_for_ever,
};
use anyfork_tests::{bounded, has_ended, held, hold, new, release, until};

use crate::{Frame, REPLIES, STATUSES, WAYS, Way, cells, with_bystander};

/// Time for a launch whose liar says nothing more.
const SHORT: Duration = Duration::from_millis(300);

fn frame_of(index: u8) -> Frame {
    [&REPLIES[..], &STATUSES].concat()[usize::from(index)]
}

fn bytes_of(frame: Frame) -> Vec<u8> {
    match frame {
        Frame::Hello => HELLO.to_vec(),
        Frame::Claim => CLAIM.to_vec(),
        Frame::Ready => ready(id()).to_vec(),
        Frame::Failed => failed("a liar's"),
        Frame::Failure => failure("a liar's"),
        Frame::OwnExit => {
            let mut own = record(0);
            own[1] = 1;
            own.to_vec()
        }
        Frame::Exit => record(0).to_vec(),
        _ => unreachable!("of another part"),
    }
}

/// Lies on its reply socket, and goes on.
#[anyfork::init]
fn lies(frame: u8, way: u8, gate: PipeReader) {
    let (frame, way) = (frame_of(frame), WAYS[usize::from(way)]);
    let (socket, bytes) = (reply_socket(), bytes_of(frame));
    // With its own pidfd, where one is expected.
    let send = |socket: &UnixStream| match frame {
        Frame::Claim | Frame::Ready => send_with(socket, &bytes, &[pidfd_of(id())]),
        _ => (&*socket).write_all(&bytes).expect("room"),
    };
    match way {
        Way::Early | Way::Late => send(&socket),
        Way::Twice => (0..2).for_each(|_| send(&socket)),
        Way::Never => thread::park(),
        Way::Half => {
            (&socket)
                .write_all(&bytes[..bytes.len() / 2])
                .expect("room");
            // SAFETY: exits at once.
            unsafe { libc::_exit(3) }
        }
        Way::HalfForEver => {
            (&socket)
                .write_all(&bytes[..bytes.len() / 2])
                .expect("room");
            thread::park();
        }
        Way::Endless => {
            send(&socket);
            write_for_ever(socket, &bytes);
        }
        // The text is read apart.
        Way::Wrong if frame == Frame::Failed => {
            let (head, text) = bytes.split_at(8);
            (&socket).write_all(head).expect("room");
            send_with(&socket, text, &[lingering_until(gate)]);
        }
        Way::Wrong => send_with(&socket, &bytes, &[lingering_until(gate)]),
        Way::TooMany => {
            let pidfd = pidfd_of(id());
            send_with(&socket, &bytes, &vec![pidfd.as_fd(); 250]);
        }
        Way::None => (&socket).write_all(&bytes).expect("room"),
    }
}

type Start = fn(Process) -> anyfork::Result<Option<u32>>;

/// The ways to launch from a process. The pid of what has been launched.
fn launches() -> [(&'static str, Start); 3] {
    fn worker(process: Process) -> anyfork::Result<Option<u32>> {
        hold::run(process, Args::new())
            .blocking()
            .map(|it| Some(it.pid()))
    }
    fn program(process: Process) -> anyfork::Result<Option<u32>> {
        let mut child = process.exec("/bin/true").spawn().blocking()?;
        child.wait().map(|_| None)
    }
    fn template(process: Process) -> anyfork::Result<Option<u32>> {
        let template = process.prepare().blocking()?;
        hold::run(template.fork(), Args::new())
            .blocking()
            .map(|it| Some(it.pid()))
    }
    [
        ("worker", worker),
        ("program", program),
        ("template", template),
    ]
}

#[test]
fn replies() {
    with_bystander(|| {
        let victim = held(new());
        for (frame, way) in cells(&REPLIES) {
            for (what, launch) in launches() {
                let cell = format!("{what}, {frame:?}, {way:?}");
                println!("{cell}");
                let (gate, open) = io::pipe().unwrap();
                let frame = REPLIES.iter().position(|it| *it == frame).unwrap() as u8;
                let way = WAYS.iter().position(|it| *it == way).unwrap() as u8;
                let args = args![frame, way, gate];
                let process = new().init("lies", args).kill_on_drop(true).timeout(SHORT);
                match bounded(&cell, || launch(process)) {
                    Ok(pid) => assert_ne!(pid, Some(victim.pid()), "{cell}"),
                    Err(error) => {
                        assert_ne!(error.kind(), ErrorKind::BadArgument, "{cell}: {error}")
                    }
                }
                drop(open);
            }
        }
        assert!(!has_ended(victim.pid()));
        release(victim);
    });
}

/// Lies in its status pipe, and exits with 3.
#[anyfork::worker]
fn scribble(_socket: UnixStream, frame: u8, way: u8) {
    let (frame, way) = (frame_of(frame), WAYS[usize::from(way)]);
    let (mut pipe, bytes) = (status_pipe(), bytes_of(frame));
    let mut write = |bytes: &[u8]| pipe.write_all(bytes).expect("room");
    match way {
        Way::Twice => write(&bytes.repeat(2)),
        Way::Half | Way::HalfForEver => write(&bytes[..bytes.len() / 2]),
        // As much as there is room for.
        Way::Endless => while pipe.write(&bytes).is_ok_and(|len| len > 0) {},
        Way::Never => {}
        _ => write(&bytes),
    }
    if way == Way::HalfForEver {
        thread::park();
    }
    // SAFETY: exits at once.
    unsafe { libc::_exit(3) }
}

#[test]
fn statuses() {
    with_bystander(|| {
        for (frame, way) in cells(&STATUSES) {
            let cell = format!("{frame:?}, {way:?}");
            println!("{cell}");
            let index = STATUSES.iter().position(|it| *it == frame).unwrap() + REPLIES.len();
            let way_index = WAYS.iter().position(|it| *it == way).unwrap() as u8;
            let launch = scribble::run(new(), index as u8, way_index);
            let worker = bounded(&cell, || launch.blocking()).unwrap();
            let anyfork::blocking::Worker { mut child, .. } = worker;
            if way == Way::HalfForEver {
                until("it has written", || has_written(child.pid()));
                child.start_kill().unwrap();
            }
            // The kernel's word, or its own, which it has spoilt (before Linux 6.15).
            let exit = bounded(&cell, || child.wait());
            let expected = if way == Way::HalfForEver {
                (None, Some(libc::SIGKILL))
            } else {
                (Some(3), None)
            };
            if anyfork_tests::kernel_keeps_status() {
                let exit = exit.unwrap_or_else(|error| panic!("{cell}: {error}"));
                assert_eq!((exit.code(), exit.signal()), expected, "{cell}: {exit}");
            }
        }
    });
}

/// Whether it waits for nothing any more.
fn has_written(pid: u32) -> bool {
    anyfork_tests::stat(pid).is_some_and(|(state, _)| state == 'S')
}
