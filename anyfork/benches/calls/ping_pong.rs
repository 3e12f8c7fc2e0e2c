//! The unit: so many bytes to another process over a Unix socket, and back, by a read and
//! a write on each side. No function is called, and nothing is queued, started or watched.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{self, Child, Command};
use std::time::Duration;

use crate::system::{self, Processes, Result, System};

/// Tells this program's copy how many bytes come at once.
const MARKER: &str = "ANYFORK_BENCH_PING_PONG";

/// Bytes of the unit.
pub(crate) const SIZE: usize = 24;

pub(crate) const NAME: &str = "ping-pong";

/// Pairs of this process and one that sends everything back.
pub(crate) struct PingPong {
    pairs: Vec<Pair>,
}

struct Pair {
    socket: Option<UnixStream>,
    child: Child,
    bytes: Vec<u8>,
}

/// Whether this process is a copy that sends everything back: how many bytes at once.
pub(crate) fn server_of() -> Option<usize> {
    env::var(MARKER).ok()?.parse().ok()
}

/// Sends everything back.
pub(crate) fn serve(size: usize) -> Result<()> {
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut bytes = vec![0; size];
    while socket.read_exact(&mut bytes).is_ok() {
        socket.write_all(&bytes)?;
    }
    Ok(())
}

impl PingPong {
    pub(crate) fn new(size: usize, pairs: usize) -> Result<PingPong> {
        let pairs = (0..pairs).map(|_| Pair::new(size));
        Ok(PingPong {
            pairs: pairs.collect::<Result<_>>()?,
        })
    }

    /// There and back once.
    pub(crate) fn ping(&mut self) -> Result<()> {
        self.pairs[0].ping()
    }
}

impl Pair {
    fn new(size: usize) -> Result<Pair> {
        let (mine, theirs) = UnixStream::pair()?;
        let child = Command::new("/proc/self/exe")
            .env(MARKER, size.to_string())
            .stdin(OwnedFd::from(theirs))
            .spawn()?;
        let mut pair = Pair {
            socket: Some(mine),
            child,
            bytes: vec![1; size],
        };
        pair.ping()?;
        Ok(pair)
    }

    fn ping(&mut self) -> Result<()> {
        let socket = self.socket.as_mut().expect("open until the drop");
        socket.write_all(&self.bytes)?;
        Ok(socket.read_exact(&mut self.bytes)?)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        drop(self.socket.take());
        let _ = self.child.wait();
    }
}

impl System for PingPong {
    fn name(&self) -> &'static str {
        NAME
    }

    fn one_by_one(&mut self, span: Duration) -> Result<Vec<Duration>> {
        system::one_by_one(span, || self.ping())
    }

    /// Callers above the number of pairs do not exist: there is no queue.
    fn at_once(&mut self, callers: usize, span: Duration) -> Result<f64> {
        let callers = callers.min(self.pairs.len());
        system::at_once(&mut self.pairs[..callers], span, Pair::ping)
    }

    fn processes(&mut self) -> Result<Processes> {
        Ok(Processes {
            caller: process::id(),
            workers: self.pairs.iter().map(|pair| pair.child.id()).collect(),
        })
    }
}
