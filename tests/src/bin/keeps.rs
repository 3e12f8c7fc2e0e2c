//! A program whose template keeps what the program was started with: descriptor
//! 9. Its workers have it; the program that it executes must not.

use std::env;
use std::io::{self, Write};

use anyfork::{Command, Process};
use anyfork_tests::{descriptors, held, release};

#[anyfork::early(keep_fds)]
fn main() {
    let worker = held(Process::new().expect("a template"));
    assert!(descriptors(worker.pid()).contains_key(&9));
    release(worker);
    println!("kept");
    io::stdout().flush().expect("a reader");
    let tell = env::args().nth(1).expect("a program");
    for mut command in [
        Command::new(&tell),
        Process::new().expect("a template").exec(&tell),
    ] {
        let exit = command.arg("--brief").status().blocking();
        assert!(exit.expect("a status").success());
    }
}
