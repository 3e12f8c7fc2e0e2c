//! A type that is no argument is reported where it is written, once for each
//! direction.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

#[anyfork::worker]
fn required(_socket: OwnedFd, table: HashMap<String, u32>) {
    drop(table);
}

#[anyfork::worker]
fn optional(_socket: OwnedFd, pair: Option<(u8, u8)>) {
    drop(pair);
}

fn main() {}
