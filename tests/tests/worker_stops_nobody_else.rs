//! A worker shares its status pipe with its template. Whatever it does to the pipe, and
//! to the flags of it, spoils its own status at most: its template goes on, its siblings
//! work and are reported, and the next launch is as quick as any.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use anyfork::{Exit, Process, blocking};
use anyfork_tests::births::serving;
use anyfork_tests::{Scene, alone, bounded, byte_of, duplicate, held, new, release};
use anyfork_tests::{children, end_by, until};

#[anyfork::early]
fn preload() {}

/// What a worker does to its status pipe before it fills it.
const BLOCKING: u8 = 1;
const SPLICED: u8 = 2;

/// Fills its status pipe, lets its caller know, and exits once its caller says so,
/// without a word of the library's.
#[anyfork::worker]
fn clog(mut socket: UnixStream, what: u8) -> io::Result<()> {
    let mut pipes = 0;
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number: i32 = name.to_str().unwrap().parse().unwrap();
        let link = fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
        if number > 2 && link.to_str().is_some_and(|it| it.starts_with("pipe:")) {
            pipes += 1;
            fill(number, what)?;
        }
    }
    assert_eq!(pipes, 1);
    socket.write_all(b"!")?;
    let _ = socket.read(&mut [0]);
    // SAFETY: exits.
    unsafe { libc::_exit(7) }
}

fn fill(number: i32, what: u8) -> io::Result<()> {
    let mut pipe = duplicate(number);
    if what & SPLICED != 0 {
        let byte = [0u8; 1];
        let slice = libc::iovec {
            iov_base: byte.as_ptr().cast_mut().cast(),
            iov_len: 1,
        };
        // SAFETY: the slice points to a local.
        unsafe { libc::vmsplice(pipe.as_raw_fd(), &raw const slice, 1, libc::SPLICE_F_GIFT) };
    }
    while pipe.write(&[0; 4096]).is_ok() {}
    while pipe.write(&[0; 1]).is_ok() {}
    if what & BLOCKING != 0 {
        // SAFETY: takes numbers.
        unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, 0) };
    }
    Ok(())
}

/// A worker that has filled its status pipe.
fn clogged(process: Process, what: u8) -> blocking::Worker {
    let launch = clog::run(process, what);
    let mut worker = bounded("a launch", || launch.blocking()).unwrap();
    assert_eq!(byte_of(&mut worker.socket), b'!');
    worker
}

fn must_be_well(template: &Process) {
    release(held(template.fork()));
    let launch = end_by::run(template.fork(), 7, 0);
    let mut failing = bounded("a launch", || launch.blocking()).unwrap();
    failing.socket.shutdown(Shutdown::Write).unwrap();
    let exit = bounded("an exit", || failing.wait()).unwrap();
    assert_eq!(exit.code(), Some(7));
}

#[test]
fn a_full_pipe_that_blocks_holds_no_sibling_up() {
    let _alone = alone();
    let scene = Scene::early();
    for what in [0, BLOCKING, SPLICED, BLOCKING | SPLICED] {
        for spares in [0, 1] {
            let template = new().keep_warm(spares);
            let pid = serving(&template);
            let bystander = held(template.fork());
            let workers: Vec<_> = (0..3).map(|_| clogged(template.fork(), what)).collect();
            for worker in &workers {
                worker.socket.shutdown(Shutdown::Write).unwrap();
            }
            must_be_well(&template);
            // The template has reaped them.
            let pids: Vec<_> = workers.iter().map(|it| it.pid()).collect();
            until("they are reaped", || {
                let left = children(pid);
                pids.iter().all(|it| !left.contains_key(it))
            });
            must_be_well(&template);
            for mut worker in workers {
                // Its own status is what it has spoilt.
                let exit = bounded("an exit", || worker.wait());
                assert!(exit.as_ref().map_or(true, |exit| !Exit::success(exit)));
            }
            release(bystander);
            must_be_well(&template);
            drop(template);
            scene.must_return();
        }
    }
}
