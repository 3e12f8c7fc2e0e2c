//! A plugin: a library with workers that a program does not know of when it is
//! built. `plugin_host.rs` loads it.
//!
//! `cargo build --example plugin`

use std::io::Write;
use std::os::unix::net::UnixStream;

#[anyfork::worker]
fn shout(mut socket: UnixStream, text: String) -> std::io::Result<()> {
    writeln!(socket, "{}!", text.to_uppercase())
}

anyfork::export_plugin!();
