//! The yardstick: a bare `fork` in a freshly exec'ed process with nothing in it,
//! the cheapest way to a process that there is. It stays empty whatever the
//! caller's heap.

use std::env;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::limits;
use crate::rates::window;
use crate::server::Server;
use crate::system::{Result, System, time};
use crate::workers;

/// Tells this program's copy what it is.
const MARKER: &str = "ANYFORK_BENCH_BARE";

/// Orders a spaced block.
const SPACED: &str = "spaced";

pub(crate) const NAME: &str = "bare fork";

/// Executes this program again, to be the empty process.
pub(crate) fn server() -> Result<Server> {
    Server::start(NAME, Command::new("/proc/self/exe").env(MARKER, "1"))
}

/// The same for forks as far apart as those of a program that has other things to
/// do: its processor may sleep in between.
pub(crate) fn spaced() -> Result<Spaced> {
    server().map(Spaced)
}

pub(crate) struct Spaced(Server);

impl System for Spaced {
    fn name(&self) -> &'static str {
        "bare fork, 1 ms apart"
    }

    fn block(&mut self, starts: usize) -> Result<Vec<Duration>> {
        let nanos = self.0.order(SPACED, starts)?;
        Ok(nanos.into_iter().map(Duration::from_nanos).collect())
    }

    fn back_to_back(&self) -> bool {
        false
    }
}

/// Whether this process is that copy.
pub(crate) fn is_server() -> bool {
    env::var_os(MARKER).is_some()
}

/// Takes the orders.
pub(crate) fn serve() -> Result<()> {
    let mut held = Vec::new();
    for order in io::stdin().lines() {
        let order = order?;
        let (what, count) = order.split_once(' ').ok_or("an order has two words")?;
        let count: usize = count.parse()?;
        if let Some(times) = limits::serve(what, count) {
            println!("{}", nanos(&times?).join(" "));
            continue;
        }
        let answer = match what.split_once('-') {
            None if what == "starts" => nanos(&time(count, || fork(Child::Leaves)?.reap())?),
            None if what == SPACED => {
                let mut times = Vec::new();
                for _ in 0..count {
                    thread::sleep(workers::PAUSE);
                    times.extend(time(1, || fork(Child::Leaves)?.reap())?);
                }
                nanos(&times)
            }
            None if what == "hold" => {
                held = (0..count)
                    .map(|_| fork(Child::Stays))
                    .collect::<Result<Vec<_>>>()?;
                held.iter().map(|forked| forked.pid.to_string()).collect()
            }
            None if what == "release" => {
                held.drain(..).try_for_each(Forked::end)?;
                vec!["ok".to_owned()]
            }
            Some(("window", width)) => {
                let start = || fork(Child::Leaves);
                let taken = window(width.parse()?, count, start, Forked::reap)?;
                vec![taken.as_nanos().to_string()]
            }
            // A heap, too: the yardstick stays empty.
            _ => vec!["ok".to_owned()],
        };
        println!("{}", answer.join(" "));
    }
    Ok(())
}

fn nanos(times: &[Duration]) -> Vec<String> {
    let nanos = times.iter().map(|time| time.as_nanos().to_string());
    nanos.collect()
}

enum Child {
    Leaves,
    /// Until its socket's other end is closed.
    Stays,
}

struct Forked {
    pid: libc::pid_t,
    socket: UnixStream,
}

/// socketpair, fork; the child: `_exit`.
fn fork(child: Child) -> Result<Forked> {
    let (mine, mut theirs) = UnixStream::pair()?;
    // SAFETY: this process has one thread, and the child only reads and leaves.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            drop(mine);
            if let Child::Stays = child {
                let _ = theirs.read(&mut [0]);
            }
            // SAFETY: _exit has no preconditions.
            unsafe { libc::_exit(0) }
        }
        pid => Ok(Forked { pid, socket: mine }),
    }
}

impl Forked {
    /// End-of-file, waitpid.
    fn reap(mut self) -> Result<()> {
        if self.socket.read(&mut [0])? != 0 {
            return Err("a bare fork wrote something".into());
        }
        // SAFETY: a null status is allowed.
        let reaped = unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
        match reaped == self.pid {
            true => Ok(()),
            false => Err(io::Error::last_os_error().into()),
        }
    }

    fn end(self) -> Result<()> {
        self.socket.shutdown(std::net::Shutdown::Both)?;
        self.reap()
    }
}
