//! A program that runs a worker of a plugin. Only a template loads the plugin; the program
//! itself never does.
//!
//! `cargo run --example plugin_host -- target/debug/examples/libplugin.so`
//!
//! It prints `HELLO!` and `WORLD!`.

use std::env;
use std::io::Read;

use anyfork::{Error, Process};

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    let usage = || Error::from(std::io::Error::other("usage: plugin_host PLUGIN.so"));
    let plugin = env::args_os().nth(1).ok_or_else(usage)?;

    // Loaded into this template, and so into all of its workers, and only there.
    let template = Process::new()?.require(plugin).prepare().blocking()?;
    for word in ["hello", "world"] {
        let mut worker = template.fork().send_arg(word).run("shout").blocking()?;
        let mut text = String::new();
        worker.socket.read_to_string(&mut text)?;
        print!("{text}");
        assert!(worker.wait()?.success());
    }
    Ok(())
}
