//! Liars that are called: in a fresh process, by a pool, and for an item of a map.

use std::fs::{self, File};
use std::io::{self, PipeReader, Write};
use std::os::fd::AsFd;
use std::process::id;
use std::thread;
use std::time::Duration;

use anyfork::{ErrorKind, Pool, Process};
use anyfork_tests::hostile::{lingering_until, reply_socket, send_with, write_for_ever};
use anyfork_tests::{bounded, descriptors, held, new, release, until};

use crate::{CALLS, Frame, WAYS, Way, cells, with_bystander};

/// Number of workers of a pool.
const WORKERS: usize = 2;

/// Time for a call whose liar says nothing more.
const SHORT: Duration = Duration::from_millis(300);

/// The bytes of a frame.
fn frame(frame: Frame, number: u64, fds: u32) -> Vec<u8> {
    let text = b"a liar's";
    let mut failure = vec![1];
    for _ in 0..4 {
        failure.extend((text.len() as u64).to_le_bytes());
        failure.extend(text);
    }
    let (tag, main, first) = match frame {
        Frame::Call => (1, &b""[..], 7u64),
        Frame::Items => (2, &b"\x01\0\0\0"[..], 7),
        // Of a number.
        Frame::Returned => (16, &b"\x07\0\0\0"[..], 0),
        Frame::Panicked => (17, &failure[..], 0),
        Frame::BadArgument => (18, &text[..], 0),
        Frame::TooLarge => (19, &b""[..], u64::MAX),
        Frame::BadResult => (20, &text[..], 0),
        Frame::Event => (21, &text[..], 0),
        _ => unreachable!("of another part"),
    };
    let mut bytes = vec![tag, 1, 0, 0];
    bytes.extend(fds.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend((main.len() as u64).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(first.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(main);
    bytes
}

/// The number of the call that this process is in, which it shares with its caller.
fn number() -> u64 {
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc");
    let line = maps.lines().rfind(|line| line.contains("anyfork call"));
    let start = line.expect("a page").split('-').next().expect("an address");
    let address = usize::from_str_radix(start, 16).expect("an address");
    // SAFETY: the page is mapped for the rest of this process's life, and has a number.
    unsafe { *(address as *const u64) }
}

/// Lies to its caller, and returns 7.
#[anyfork::call]
fn lie(what: u8, way: u8, gate: PipeReader) -> u32 {
    let (what, way) = (CALLS[usize::from(what)], WAYS[usize::from(way)]);
    let mut socket = reply_socket();
    let bytes = frame(what, number(), 0);
    match way {
        Way::Early => socket.write_all(&bytes).expect("room"),
        Way::Late => {
            thread::spawn(move || {
                // When the caller has the result, or never mind.
                thread::sleep(Duration::from_millis(5));
                let _ = socket.write_all(&bytes);
            });
        }
        Way::Twice => socket.write_all(&bytes.repeat(2)).expect("room"),
        Way::Never => thread::park(),
        Way::Half => {
            socket.write_all(&bytes[..bytes.len() / 2]).expect("room");
            // SAFETY: exits at once.
            unsafe { libc::_exit(3) }
        }
        Way::HalfForEver => {
            socket.write_all(&bytes[..bytes.len() / 2]).expect("room");
            thread::park();
        }
        Way::Endless => write_for_ever(socket, &bytes),
        Way::Wrong => {
            // One that it names, and one that it does not.
            let wrong = lingering_until(gate);
            let fds = [wrong.as_fd(), wrong.as_fd()];
            send_with(&socket, &frame(what, number(), 1), &fds);
        }
        Way::TooMany => {
            let null = File::open("/dev/null").expect("a file");
            let fds = vec![null.as_fd(); 250];
            // Many frames, and half a head with as many as would fill any table.
            for _ in 0..20 {
                let _ = sendfd::SendWithFd::send_with_fd(&socket, &bytes, &numbers(&fds));
            }
            for byte in &bytes[..40] {
                let _ = sendfd::SendWithFd::send_with_fd(&socket, &[*byte], &numbers(&fds));
            }
        }
        Way::None => socket.write_all(&frame(what, number(), 3)).expect("room"),
    }
    7
}

fn numbers(fds: &[std::os::fd::BorrowedFd<'_>]) -> Vec<i32> {
    use std::os::fd::AsRawFd;
    fds.iter().map(AsRawFd::as_raw_fd).collect()
}

/// Tells the truth.
#[anyfork::call]
fn tell() -> u32 {
    7
}

fn pool(limit: Option<Duration>) -> Pool {
    let pool = Pool::builder(Process::new().unwrap()).max(WORKERS);
    let pool = match limit {
        Some(limit) => pool.timeout(limit),
        None => pool,
    };
    pool.build().unwrap()
}

fn must_serve(pool: &Pool, cell: &str) {
    let call = tell::call(pool).timeout(Duration::from_secs(60));
    let told = bounded(cell, || call.blocking());
    assert_eq!(told.unwrap_or_else(|error| panic!("{cell}: {error}")), 7);
}

/// The same of a pool that liars are in: each may spoil the next call that its own worker
/// serves, and is gone then.
fn must_serve_beside_liars(pool: &Pool, cell: &str) {
    for _ in 0..WORKERS {
        let call = tell::call(pool).timeout(Duration::from_secs(60));
        match bounded(cell, || call.blocking()) {
            Ok(told) => return assert_eq!(told, 7, "{cell}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Protocol, "{cell}: {error}"),
        }
    }
    must_serve(pool, cell);
}

/// Has liars lie, by `call`, and looks at others meanwhile.
fn liars(call: impl Fn(&Pool, u8, u8, Vec<PipeReader>)) {
    with_bystander(|| {
        drop(tell::call(new()).blocking());
        let others = pool(None);
        must_serve(&others, "before");
        let before = descriptors(id()).len();
        for (frame, way) in cells(&CALLS) {
            let cell = format!("{frame:?}, {way:?}");
            println!("{cell}");
            let liars = pool(Some(SHORT));
            must_serve(&liars, &cell);
            let what = CALLS.iter().position(|it| *it == frame).unwrap() as u8;
            let way = WAYS.iter().position(|it| *it == way).unwrap() as u8;
            let (gate, open) = io::pipe().unwrap();
            let gates = (0..3).map(|_| gate.try_clone().unwrap()).collect();
            drop(gate);
            bounded(&cell, || call(&liars, what, way, gates));
            // The same pool serves, and another, which the same thread watches.
            must_serve_beside_liars(&liars, &cell);
            must_serve(&others, &cell);
            // More than a few would be kept for a worker that lives on.
            until(&format!("{cell}: few descriptors are held"), || {
                descriptors(id()).len() < before + 100
            });
            drop(open);
            bounded(&cell, || liars.shutdown(Duration::ZERO).blocking()).unwrap();
            drop(liars);
            until(&format!("{cell}: nothing is left"), || {
                descriptors(id()).len() <= before
            });
        }
        release(held(new()));
    });
}

#[test]
fn pooled_calls() {
    liars(|pool, what, way, mut gates| {
        let _ = lie::call(pool, what, way, gates.remove(0)).blocking();
    });
}

#[test]
fn fresh_calls() {
    liars(|_, what, way, mut gates| {
        let call = lie::call(Process::new().unwrap(), what, way, gates.remove(0));
        let _ = call.timeout(SHORT).blocking();
    });
}

#[test]
fn items_of_a_map() {
    liars(|pool, what, way, gates| {
        let items = gates.into_iter().map(move |gate| (what, way, gate));
        lie::map(pool, items).blocking().for_each(drop);
    });
}
