//! `keep_fds` goes with `main`, with preloads, with other keys and with itself in
//! another place.
#![forbid(unsafe_code)]
#![deny(warnings)]

use std::os::fd::OwnedFd;

use anyfork::Process;

#[anyfork::early(keep_fds)]
fn preload() {}

#[anyfork::early(keep_fds, crate = anyfork)]
const fn with_another_key() {}

#[anyfork::early(crate = ::anyfork, keep_fds,)]
fn with_a_comma() -> Result<(), String> {
    Ok(())
}

#[anyfork::early()]
fn without() {}

#[anyfork::worker]
fn nothing(_socket: OwnedFd) {}

#[anyfork::early(keep_fds)]
fn main() -> anyfork::Result<()> {
    let mut worker = nothing::run(Process::early()?).blocking()?;
    assert!(worker.wait()?.success());
    Ok(())
}
