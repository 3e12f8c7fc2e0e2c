//! What the tests of shortages and of many workers share: limits that are set, and
//! what a template must not have more of.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;

use anyfork::{Args, Process, blocking};
use nix::unistd::{Gid, Uid, setresgid, setresuid};

use crate::set_soft_limit;

/// So many, or so many times more as the environment says.
pub fn many(usual: usize) -> usize {
    let times = env::var("ANYFORK_MANY").ok();
    usual * times.map_or(1, |times| times.parse().expect("a number of times"))
}

/// What a process has in memory, and what of it is in no file, in KiB (proc(5)).
/// What only it has would be another measure, but that grows with what its
/// relatives write.
pub fn memory(pid: u32) -> [u64; 2] {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("a process");
    ["Rss:", "Anonymous:"].map(|field| {
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let number = line.expect("a field").trim().strip_suffix(" kB");
        number.expect("a unit").parse().expect("a number")
    })
}

/// Asserts that a process has no more memory than it had. The kernel may have
/// dropped pages of files before, so these have some room; `slack` KiB are what
/// the rest may have grown by.
pub fn assert_no_more(pid: u32, before: [u64; 2], slack: u64) {
    let now = memory(pid);
    let grew = now[0] > before[0] + 1024 || now[1] > before[1] + slack;
    assert!(!grew, "now {now:?}, before {before:?}");
}

/// Has this process, if it is root's, run as another user from now on: the kernel
/// exempts root from limits, and only a process of the same user may change them.
pub fn give_up_root(id: u32) -> Result<(), nix::Error> {
    if Uid::effective().is_root() {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
    }
    Ok(())
}

/// Sets a soft limit of its template as its caller asks: the resource, and the
/// limit; answers what it was.
#[anyfork::worker]
fn limit(mut socket: UnixStream, _rest: Args) -> io::Result<()> {
    let mut order = [0; 16];
    while socket.read_exact(&mut order).is_ok() {
        let [resource, soft] =
            [0, 8].map(|at| u64::from_le_bytes(order[at..at + 8].try_into().expect("8 bytes")));
        let before = set_soft_limit(parent_id(), resource as u32, soft)?;
        socket.write_all(&before.to_le_bytes())?;
    }
    Ok(())
}

/// A worker that can set a limit when its template can fork no more.
pub struct Limiter(blocking::Worker);

impl Limiter {
    /// One that sets the limits of the template that `process` is forked from.
    pub fn of(process: Process) -> Limiter {
        Limiter(
            limit::run(process, Args::new())
                .blocking()
                .expect("a worker"),
        )
    }

    /// Sets a soft limit; gives what it was.
    pub fn set(&mut self, resource: u32, soft: u64) -> u64 {
        let order = [u64::from(resource).to_le_bytes(), soft.to_le_bytes()].concat();
        if let Err(error) = self.0.socket.write_all(&order) {
            panic!("{error}: {:?}", self.0.wait());
        }
        let mut before = [0; 8];
        let read = self.0.socket.read_exact(&mut before);
        read.expect("an answer");
        u64::from_le_bytes(before)
    }

    /// The worker's pid.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }
}
