//! A program of one file, which the test links statically, with nothing in its
//! manifest but anyfork.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;

use anyfork::Process;

static STATE: Mutex<String> = Mutex::new(String::new());

#[anyfork::init]
fn add(text: String) {
    STATE.lock().expect("no panic").push_str(&text);
}

#[anyfork::worker]
fn tell(mut socket: UnixStream, more: String) -> std::io::Result<()> {
    let state = STATE.lock().expect("no panic");
    write!(socket, "{state} {more}")
}

fn reported(process: Process) -> String {
    let process = process.init("add", anyfork::args!["i"]);
    let worker = tell::run(process.fork(), "m".to_owned()).blocking();
    let mut worker = worker.expect("a worker");
    let mut text = String::new();
    let read = worker.socket.read_to_string(&mut text);
    read.expect("an answer");
    assert!(worker.wait().expect("a status").success());
    text
}

#[anyfork::early]
fn main() {
    let maps = fs::read_to_string("/proc/self/maps").expect("a process");
    assert!(!maps.contains(".so"), "it is linked statically: {maps}");
    add("main".to_owned());
    assert_eq!(reported(Process::early().expect("an early template")), "i m");
    assert_eq!(reported(Process::new_exec().expect("a template")), "i m");
    assert_eq!(reported(Process::snapshot().expect("one thread")), "maini m");
    let threaded = std::thread::spawn(|| {
        let program = Path::new("/proc/self/exe");
        let exec = Process::exec_program(program).expect("a template");
        assert_eq!(reported(exec), "i m");
    });
    threaded.join().expect("no panic");
    println!("all of it works");
}
