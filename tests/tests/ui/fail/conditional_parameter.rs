//! A parameter cannot depend on the configuration.

use std::os::fd::OwnedFd;

#[anyfork::worker]
fn conditional(_socket: OwnedFd, #[cfg(any())] _name: String) {}

fn main() {}
