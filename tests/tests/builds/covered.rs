//! A program that is built with `-C instrument-coverage`. Each process counts loops of its
//! own length, which a test finds among its counters.

use std::hint::black_box;
use std::os::unix::net::UnixStream;
use std::process::exit;

use anyfork::Process;

fn count(times: u64) {
    let mut sum = 0;
    for number in 0..times {
        sum = black_box(sum ^ number);
    }
}

#[anyfork::early]
fn preload() {
    count(111_111);
}

#[anyfork::worker]
fn work(_socket: UnixStream, how: String, times: u64) -> Result<(), String> {
    count(times);
    match how.as_str() {
        "returns" => Ok(()),
        "fails" => Err("as it should".to_owned()),
        "panics" => panic!("as it should"),
        _ => exit(0),
    }
}

fn main() {
    let process = Process::early().expect("an early template");
    for (how, times) in [("returns", 222_222), ("fails", 333_333), ("panics", 444_444), ("exits", 555_555)] {
        let worker = work::run(process.fork(), how.to_owned(), times).blocking();
        let mut worker = worker.expect("a worker");
        println!("{how} {times} {}", worker.pid());
        worker.wait().expect("a status").code().expect("a code");
    }
    count(666_666);
    println!("main 666666 {}", std::process::id());
}
