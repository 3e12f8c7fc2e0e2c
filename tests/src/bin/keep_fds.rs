//! A program that a shell has left descriptors to, in the folder that its first
//! argument names, and that keeps them for its workers.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process;

use anyfork::{Args, Process};
use anyfork_tests::{
    bounded, descriptors, duplicate, flags, held, pipe_with, release, template_of,
};

#[anyfork::early(keep_fds)]
fn main() {
    let folder = env::args().nth(1).expect("a folder");
    let of_folder = |pid| {
        let mut open = descriptors(pid);
        open.retain(|_, link| link.starts_with(&folder));
        open
    };
    let me = process::id();
    let own = of_folder(me);
    assert_eq!(own.keys().copied().collect::<Vec<_>>(), [3, 4, 9]);
    let as_here = own.keys().map(|number| (*number, flags(me, *number)));
    let as_here: Vec<_> = as_here.collect();

    let early = Process::early().expect("an early template");
    let nested = early.fork().env("NESTED", "1");
    let deeper = nested.fork().send_fd(pipe_with("")).env("NESTED", "2");
    let default = Process::new().expect("a template");
    let mut bytes = b'a'..;
    for process in [early, nested, deeper, default] {
        for sent in [0, 20] {
            let send = || (0..sent).map(|_| pipe_with(""));
            let worker = held(process.fork().send_fds(send()));
            for pid in [worker.pid(), template_of(&worker)] {
                assert_eq!(of_folder(pid), own);
                let as_there = own.keys().map(|number| (*number, flags(pid, *number)));
                assert_eq!(as_there.collect::<Vec<_>>(), as_here);
            }
            assert_nothing_else(worker.pid(), own.len());
            release(worker);
            assert_eq!(used(process.fork().send_fds(send())), bytes.next());
        }
        // What is closed here is open there.
        if of_folder(me) == own {
            for number in own.keys() {
                // SAFETY: nobody owns what the shell has opened.
                assert_eq!(unsafe { libc::close(*number) }, 0);
            }
        }
    }

    // An exec'ed template is another process, which no shell has started.
    let worker = held(Process::new_exec().expect("a template"));
    for pid in [worker.pid(), template_of(&worker)] {
        assert_eq!(of_folder(pid), BTreeMap::new());
    }
    release(worker);
}

/// Asserts that a worker has but one socket and one pipe to write to beside what
/// the shell and its caller gave it.
fn assert_nothing_else(pid: u32, kept: usize) {
    let open = descriptors(pid).split_off(&3);
    let writes = |number| flags(pid, number) & libc::O_ACCMODE == libc::O_WRONLY;
    let count = |kind: &str, writing: bool| {
        let open = open.iter().filter(|(_, link)| link.starts_with(kind));
        open.filter(|(number, _)| writes(**number) == writing)
            .count()
    };
    let sent = count("pipe:", false);
    assert_eq!(count("socket:", false), 1, "{open:?}");
    assert_eq!(count("pipe:", true), 1, "{open:?}");
    assert_eq!(open.len(), kept + sent + 2, "{open:?}");
}

/// Has a worker use all three; gives what it has found.
fn used(process: Process) -> Option<u8> {
    let worker = bounded("a launch", || process.run("use_them").blocking());
    let mut worker = worker.expect("a worker");
    let mut found = Vec::new();
    worker.socket.read_to_end(&mut found).expect("an answer");
    assert!(worker.wait().expect("a status").success());
    assert!(found.len() < 2, "{found:?}");
    found.pop()
}

/// Copies a byte, the next one for all workers, who have the same open file.
#[anyfork::worker]
fn use_them(mut socket: UnixStream, _rest: Args) -> io::Result<()> {
    let mut byte = [0];
    duplicate(3).read_exact(&mut byte)?;
    duplicate(4).write_all(&byte)?;
    duplicate(9).write_all(&byte)?;
    socket.write_all(&byte)
}
