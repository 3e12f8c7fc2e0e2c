//! A shared library that wishes for an early template, which it cannot have
//! when it is loaded into a program that runs.

use anyfork::{Command, Process};

#[anyfork::early]
fn preload() {
    let executed = std::env::var_os("ANYFORK_TEMPLATE").is_none();
    assert!(executed, "a template was forked in the program");
}

/// Prints why there is no template.
#[unsafe(no_mangle)]
pub extern "C" fn tell_early() {
    println!("new: {:?}", Process::new().err());
    println!("new_exec: {:?}", Process::new_exec().err());
    let command = Command::new("true").status().blocking();
    println!("command: {:?}", command.err());
    println!("early: {:?}", Process::early().err());
}
