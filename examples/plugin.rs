//! A plugin: a library with workers for programs that are built without it.
//! `plugin_host.rs` uses this plugin.
//!
//! `cargo build --example plugin`

use std::io::Write;
use std::os::unix::net::UnixStream;

#[anyfork::worker]
fn shout(mut socket: UnixStream, text: String) -> std::io::Result<()> {
    writeln!(socket, "{}!", text.to_uppercase())
}

anyfork::export_plugin!();
