//! What may be absent stands at the end.

use std::os::fd::OwnedFd;

#[anyfork::worker]
fn middle(_socket: OwnedFd, _first: Option<u8>, _second: String, _third: std::option::Option<u8>) {}

fn main() {}
