//! `Args` takes all that is left.

use std::os::fd::OwnedFd;

use anyfork::Args;

#[anyfork::worker]
fn two(_socket: OwnedFd, _some: Args, _others: anyfork::Args) {}

#[anyfork::worker]
fn not_last(_socket: OwnedFd, _rest: Args, _name: String) {}

fn main() {}
