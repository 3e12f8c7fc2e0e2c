//! A program that ends, in whatever way, leaves no template, and no worker that
//! was to be killed: what reads from it comes to an end, as in `program | cat`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};

use anyfork_tests::births::{kill_now, program};
use anyfork_tests::{bounded, has_ended, until};

const TEMPLATES: [&str; 4] = ["early", "exec", "nested", "snapshot"];

/// A program that runs, and the processes that it has told of.
struct Leaving {
    program: Child,
    stdout: BufReader<ChildStdout>,
    pids: Vec<(String, u32)>,
}

impl Leaving {
    fn start(template: &str, workers: &str, how: &str) -> Leaving {
        let mut program = program(env!("CARGO_BIN_EXE_leaving"), template);
        program.args([workers, how]);
        program.stdin(Stdio::piped()).stdout(Stdio::piped());
        // What it says of its end is no news here.
        let mut program = program.stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(program.stdout.take().unwrap());
        let mut pids = Vec::new();
        while !pids.iter().any(|(kind, _)| kind == "program") {
            let mut line = String::new();
            bounded("a line", || stdout.read_line(&mut line)).unwrap();
            let (kind, pid) = line.trim_end().split_once(' ').expect("a line");
            pids.push((kind.to_owned(), pid.parse().unwrap()));
        }
        Leaving {
            program,
            stdout,
            pids,
        }
    }

    fn pids(&self, wanted: &str) -> Vec<u32> {
        let found = self.pids.iter().filter(|(kind, _)| kind == wanted);
        found.map(|(_, pid)| *pid).collect()
    }

    /// What else it prints, until nobody is left who could.
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        bounded("its end", || self.stdout.read_to_string(&mut rest)).unwrap();
        rest
    }

    fn must_end(&self, kind: &str) {
        for pid in self.pids(kind) {
            until(kind, || has_ended(pid));
        }
    }
}

#[test]
fn workers_go_with_their_program() {
    for template in TEMPLATES {
        for how in ["aborts", "execs", "exits", "is killed", "panics", "returns"] {
            let mut leaving = Leaving::start(template, "stay", how);
            if how == "is killed" {
                kill_now(leaving.program.id());
            }
            assert_eq!(leaving.rest(), "", "{template} {how}");
            leaving.must_end("worker");
            leaving.must_end("template");
            // `wait` would close it.
            let stdin = leaving.program.stdin.take();
            leaving.program.wait().unwrap();
            // It holds its parent's pipe, which has saved nobody.
            let [grandchild] = leaving.pids("grandchild")[..] else {
                panic!("{:?}", leaving.pids);
            };
            assert_eq!(leaving.pids("worker").len(), 3);
            assert!(!has_ended(grandchild), "{template} {how}");
            drop(stdin);
            leaving.must_end("grandchild");
        }
    }
}

#[test]
fn others_outlive_their_program() {
    for template in TEMPLATES {
        for how in ["is killed", "returns"] {
            let mut leaving = Leaving::start(template, "go-on", how);
            if how == "is killed" {
                kill_now(leaving.program.id());
            }
            // `wait` would close it.
            let stdin = leaving.program.stdin.take();
            leaving.program.wait().unwrap();
            let [worker] = leaving.pids("goes-on")[..] else {
                panic!("{:?}", leaving.pids);
            };
            assert!(!has_ended(worker));
            drop(stdin);
            assert_eq!(leaving.rest(), "it has gone on\n", "{template} {how}");
            leaving.must_end("goes-on");
            leaving.must_end("template");
        }
    }
}

#[test]
fn who_reads_from_a_program_comes_to_an_end() {
    for template in TEMPLATES {
        for how in ["aborts", "exits", "panics", "returns"] {
            let mut leaving = Leaving::start(template, "none", how);
            assert_eq!(leaving.rest(), "", "{template} {how}");
            leaving.program.wait().unwrap();
        }
    }
}
