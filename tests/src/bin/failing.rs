//! A program whose worker fails: of which template, and how, its arguments say.
//! Prints what it is told of that. Needs nothing but anyfork, so that a test can
//! build it in a way of its own.

use std::env;
use std::os::fd::OwnedFd;
use std::panic::catch_unwind;
use std::thread;

use anyfork::Process;

/// Panics, and says where: at the fifth column of a line.
#[inline(never)]
fn fail(what: &str) {
    panic!("{what}, line {}", line!());
}

#[anyfork::worker]
#[inline(never)]
fn work(_socket: OwnedFd, how: String) -> Result<(), String> {
    match how.as_str() {
        "panic" => fail("out of luck"),
        "caught" => drop(catch_unwind(|| fail("out of luck"))),
        "error" => return Err("the disk is full".to_owned()),
        "thread" => {
            let thread = thread::Builder::new().name("helper".to_owned());
            let thread = thread.spawn(|| fail("out of luck"));
            let _ = thread.expect("a thread").join();
        }
        _ => {}
    }
    Ok(())
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    let [template, how] = [1, 2].map(|n| env::args().nth(n).expect("an argument"));
    let process = match template.as_str() {
        "early" => Process::early()?,
        "exec" => Process::new_exec()?,
        "snapshot" => Process::snapshot()?,
        _ => panic!("no such template"),
    };
    let mut worker = work::run(process, how).blocking()?;
    let exit = worker.wait()?;
    println!("{}\n{exit}", worker.pid());
    if let Some(failure) = exit.failure() {
        println!("{}", failure.message());
        for part in [failure.location(), failure.thread(), failure.backtrace()] {
            println!("{}", part.unwrap_or("none"));
        }
    }
    Ok(())
}
