//! What workers print comes to one place, a line at a time, with the name of who has
//! printed it. A worker's own descriptor 1 and 2 are pipes that `main` reads.
//!
//! `cargo run --example logging`
//!
//! It prints lines like `[worker 2, process 4711] 3 jobs to do`.

use std::io::{BufRead, BufReader, Read};
use std::thread;

use anyfork::{Process, Stdio};

/// Whatever prints, prints into the pipe: this program's code, libraries in C, and
/// programs that it starts.
#[anyfork::worker]
fn job(jobs: u32) {
    println!("{jobs} jobs to do");
    eprintln!("warning: a job that takes long");
    println!("done");
}

/// Reads to the end, which comes when the worker and all it has started are gone. A
/// log that is not read stops who writes it, once the pipe is full.
fn log(name: &str, output: impl Read) {
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        println!("[{name}] {}", String::from_utf8_lossy(&line));
    }
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    let template = Process::new()?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    thread::scope(|threads| {
        for number in 1..=3 {
            let mut worker = job::run(template.fork(), number).blocking()?;
            let name = format!("worker {number}, process {}", worker.pid());
            let out = worker.child.stdout.take().expect("it is piped");
            let err = worker.child.stderr.take().expect("it is piped");
            let too = name.clone();
            threads.spawn(move || log(&name, out));
            threads.spawn(move || log(&too, err));
            // How it ends is told apart from what it has printed.
            threads.spawn(move || assert!(worker.wait().is_ok_and(|exit| exit.success())));
        }
        Ok(())
    })
}
