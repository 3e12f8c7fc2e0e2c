//! The companion has the parameters of the worker, in their types.

use std::os::fd::OwnedFd;

use anyfork::Process;

#[anyfork::worker]
fn greet(_socket: OwnedFd, _name: String, _times: u32) {}

fn start(process: Process) {
    let _ = greet::run(process, "Ada".to_owned());
}

fn start_with_text(process: Process) {
    let _ = greet::run(process, "Ada".to_owned(), "three");
}

fn main() {}
