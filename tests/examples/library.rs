//! A shared library that wishes for an early template, which it cannot have
//! when it is loaded into a program that runs.

use anyfork::Process;

#[anyfork::early]
fn preload() {
    unreachable!("a template was forked");
}

/// Prints why there is no early template.
#[unsafe(no_mangle)]
pub extern "C" fn tell_early() {
    println!("new: {:?}", Process::new().err());
    println!("early: {:?}", Process::early().err());
}
