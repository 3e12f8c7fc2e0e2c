//! A return type that says nothing about success is reported where it is
//! written.

use std::os::fd::OwnedFd;

struct Opaque;

#[anyfork::worker]
fn number(_socket: OwnedFd) -> std::num::NonZero<u32> {
    std::num::NonZero::<u32>::MIN
}

#[anyfork::worker]
fn opaque_error(_socket: OwnedFd) -> Result<(), Opaque> {
    Err(Opaque)
}

#[anyfork::worker]
async fn later(_socket: OwnedFd) -> String {
    String::new()
}

#[anyfork::early]
fn load() -> Vec<u8> {
    Vec::new()
}

fn main() {}
