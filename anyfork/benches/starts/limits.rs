//! The limits: what the kernel takes for the steps that a start cannot do without, made by
//! raw calls in a freshly exec'ed process with nothing in it.
//!
//! - of warm starts: a process that waits receives two descriptors, and answers with a
//!   pidfd of its own;
//! - of cold ones: a process that does nothing else receives the two and forks; the child
//!   answers so, and the process writes the child's status into the second descriptor;
//! - of programs: `vfork` and exec.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::pipe2;

use crate::bare;
use crate::raw;
use crate::server::Server;
use crate::system::{Result, System, time};
use crate::workers::PAUSE;

const WAITING: &str = "waiting";
const WAITING_APART: &str = "waiting_apart";
const FORKED: &str = "forked";
const FORKED_STATUS: &str = "forked_status";
const PROGRAM: &str = "program";

/// A limit, measured by an order to a copy of this program.
pub(crate) struct Limit {
    name: &'static str,
    order: &'static str,
    server: Server,
}

pub(crate) fn systems() -> Result<Vec<Box<dyn System>>> {
    let all = [
        ("raw waiting process", WAITING),
        ("raw waiting process, 1 ms apart", WAITING_APART),
        ("raw template, ready", FORKED),
        ("raw template, status", FORKED_STATUS),
        ("raw vfork and exec", PROGRAM),
    ];
    let system = |(name, order)| {
        let server = bare::server()?;
        let limit = Limit {
            name,
            order,
            server,
        };
        Ok(Box::new(limit) as Box<dyn System>)
    };
    all.into_iter().map(system).collect()
}

impl System for Limit {
    fn name(&self) -> &'static str {
        self.name
    }

    fn block(&mut self, starts: usize) -> Result<Vec<Duration>> {
        let nanos = self.server.order(self.order, starts)?;
        Ok(nanos.into_iter().map(Duration::from_nanos).collect())
    }

    fn back_to_back(&self) -> bool {
        self.order != WAITING_APART
    }
}

/// Obeys an order, if it is one of these.
pub(crate) fn serve(order: &str, count: usize) -> Option<Result<Vec<Duration>>> {
    let times = match order {
        WAITING => waiting(count, None),
        WAITING_APART => waiting(count, Some(PAUSE)),
        FORKED => forked(count, false),
        FORKED_STATUS => forked(count, true),
        PROGRAM => time(count, program),
        _ => return None,
    };
    Some(times)
}

/// Starts by processes that were forked before, and all wait.
fn waiting(count: usize, pause: Option<Duration>) -> Result<Vec<Duration>> {
    let (control, theirs) = control()?;
    let (mut mine, mut ready) = UnixStream::pair()?;
    let mut pids = Vec::with_capacity(count);
    for _ in 0..count {
        // SAFETY: this copy of the program has one thread.
        match unsafe { raw::fork() }? {
            0 => {
                let _ = ready.write_all(b".");
                answer_one(&theirs);
                raw::exit()
            }
            pid => pids.push(pid),
        }
    }
    mine.read_exact(&mut vec![0; count])?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        if let Some(pause) = pause {
            thread::sleep(pause);
        }
        let begun = Instant::now();
        let started = Started::by(&control)?;
        times.push(begun.elapsed());
        drop(started);
    }
    pids.into_iter()
        .try_for_each(|pid| raw::reap(pid).map(drop))?;
    Ok(times)
}

/// Starts by a process that forks for each.
fn forked(count: usize, until_status: bool) -> Result<Vec<Duration>> {
    let (control, theirs) = control()?;
    // SAFETY: this copy of the program has one thread.
    let template = unsafe { raw::fork() }?;
    if template == 0 {
        drop(control);
        let _ = fork_for_each(&theirs);
        raw::exit()
    }
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        let mut started = Started::by(&control)?;
        if !until_status {
            times.push(begun.elapsed());
        }
        started.status.read_exact(&mut [0; 4])?;
        if until_status {
            times.push(begun.elapsed());
        }
    }
    drop(control);
    raw::reap(template)?;
    Ok(times)
}

/// Serves until the caller's end is closed.
fn fork_for_each(control: &OwnedFd) -> io::Result<()> {
    while let Some([reply, status]) = raw::receive(control.as_fd())? {
        // SAFETY: this process is a fork of one that has one thread.
        match unsafe { raw::fork() }? {
            0 => {
                let _ = answer(&reply);
                raw::exit()
            }
            pid => {
                drop(reply);
                let record = raw::reap(pid)?;
                File::from(status).write_all(&record.to_ne_bytes())?;
            }
        }
    }
    Ok(())
}

/// What a waiting process does with the one request that it takes.
fn answer_one(control: &OwnedFd) {
    if let Ok(Some([reply, _status])) = raw::receive(control.as_fd()) {
        let _ = answer(&reply);
    }
}

/// Answers with a pidfd.
fn answer(reply: &OwnedFd) -> io::Result<()> {
    let pidfd = raw::own_pidfd()?;
    raw::send(reply.as_fd(), b"ready", &[pidfd.as_fd()])
}

/// A process that has answered.
struct Started {
    status: File,
    _reply: OwnedFd,
    _pidfd: OwnedFd,
}

impl Started {
    fn by(control: &OwnedFd) -> Result<Started> {
        let (mine, theirs) = pair(SockType::Stream)?;
        let (status, writer) = pipe2(OFlag::O_CLOEXEC)?;
        raw::send(
            control.as_fd(),
            b"request",
            &[theirs.as_fd(), writer.as_fd()],
        )?;
        drop((theirs, writer));
        let [pidfd] = raw::receive(mine.as_fd())?.ok_or("nobody has answered")?;
        Ok(Started {
            status: status.into(),
            _reply: mine,
            _pidfd: pidfd,
        })
    }
}

/// What requests go over.
fn control() -> Result<(OwnedFd, OwnedFd)> {
    pair(SockType::SeqPacket)
}

fn pair(kind: SockType) -> Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(AddressFamily::Unix, kind, None, flags)?)
}

/// The program, from its start to its exit.
fn program() -> Result<()> {
    let pid = raw::vfork_and_exec(c"/bin/true")?;
    match raw::reap(pid)? {
        0 => Ok(()),
        status => Err(format!("the program has ended with {status}").into()),
    }
}
