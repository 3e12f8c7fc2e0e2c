//! A worker that sends what is no event where its events go spoils its own, and nothing else.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::id;
use std::thread;
use std::time::Duration;

use anyfork::{ErrorKind, Pool};
use anyfork_tests::hostile::{send_with, write_for_ever};
use anyfork_tests::{alone, bounded, descriptors, duplicate, until};
use tracing::level_filters::LevelFilter;

use crate::events_come_home::{Keep, observed};
use crate::{end, process, until_no_thread_is_left};

const WAYS: [&str; 9] = [
    "nonsense",
    "half a frame, and no end",
    "half a frame, and the end",
    "a kind that is none",
    "empty frames",
    "frames without their values",
    "the end of what never began",
    "descriptors",
    "frames without end",
];

/// Those of them that are frames, of which nobody can make anything.
const UNDERSTOOD_BY_NOBODY: [&str; 3] = [
    "a kind that is none",
    "empty frames",
    "frames without their values",
];

/// What is told of them.
const LEFT_OUT: &str = "spans and events of workers were left out";

/// The end of a span that never began.
const CLOSE: [u8; 13] = [9, 0, 0, 0, 4, 7, 0, 0, 0, 0, 0, 0, 0];

/// The socket on which this process sends its events: the one that came last.
fn socket_of_events() -> UnixStream {
    let all = descriptors(id());
    let is_socket = |it: &(&i32, &String)| *it.0 > 2 && it.1.starts_with("socket:");
    let sockets: Vec<_> = all.iter().filter(is_socket).collect();
    assert!(sockets.len() >= 2, "one for calls, and one for events");
    let number = sockets.last().expect("checked").0;
    OwnedFd::from(duplicate(*number)).into()
}

#[anyfork::call]
fn lie(way: String) -> u32 {
    let mut socket = socket_of_events();
    match &*way {
        "nonsense" => socket.write_all(&[0xff; 5000]).expect("room"),
        "half a frame, and no end" => socket.write_all(&[100, 0, 0, 0, 1, 2]).expect("room"),
        "half a frame, and the end" => {
            socket.write_all(&[100, 0, 0, 0, 1, 2]).expect("room");
            // SAFETY: exits at once.
            unsafe { libc::_exit(3) }
        }
        "a kind that is none" => socket.write_all(&[1, 0, 0, 0, 9]).expect("room"),
        "empty frames" => socket.write_all(&[0; 4000]).expect("room"),
        "frames without their values" => {
            for kind in 1..=4 {
                socket.write_all(&[1, 0, 0, 0, kind]).expect("room");
            }
        }
        "the end of what never began" => socket.write_all(&CLOSE).expect("room"),
        "descriptors" => {
            let null = File::open("/dev/null").expect("a file");
            for _ in 0..100 {
                send_with(&socket, &CLOSE, &[&null, &null, &null]);
            }
        }
        "frames without end" => {
            // Until the worker is killed.
            thread::spawn(move || write_for_ever(socket, &CLOSE));
        }
        other => panic!("nobody lies so: {other}"),
    }
    7
}

#[anyfork::call]
fn honest() -> u32 {
    tracing::info!("an honest event");
    8
}

fn pool() -> Pool {
    Pool::builder(process()).max(1).tracing().build().unwrap()
}

#[test]
fn each_way_to_lie() {
    let _alone = alone();
    let before = descriptors(id()).len();
    for way in WAYS {
        let keep = Keep::default();
        observed(&keep, LevelFilter::INFO, || {
            let (liars, others) = (pool(), pool());
            let call = lie::call(&liars, way.into()).timeout(Duration::from_secs(60));
            match bounded(way, || call.blocking()) {
                Ok(told) => assert_eq!(told, 7, "{way}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Died, "{way}: {error}");
                    assert_eq!(way, "half a frame, and the end", "{error}");
                }
            }
            // The liar itself still serves, and its caller takes the events of others.
            assert_eq!(bounded(way, || honest::call(&liars).blocking()).unwrap(), 8);
            assert_eq!(
                bounded(way, || honest::call(&others).blocking()).unwrap(),
                8
            );
            end(others);
            until(&format!("{way}: an event came home"), || {
                let events = keep.events();
                events.iter().any(|it| it.message() == "an honest event")
            });
            if UNDERSTOOD_BY_NOBODY.contains(&way) {
                until(&format!("{way}: it is told that some are missing"), || {
                    let events = keep.events();
                    events.iter().any(|it| it.message() == LEFT_OUT)
                });
            }
            bounded(way, || liars.shutdown(Duration::ZERO).blocking()).unwrap();
        });
        until_no_thread_is_left();
        until(&format!("{way}: nothing is left"), || {
            descriptors(id()).len() <= before
        });
    }
}
