//! A template holds nothing of its program's: whoever waits for the end of a
//! program's output, or writes to its input, is held up by no template, though it
//! lives on. Workers have the streams and the directory that their caller has when it
//! starts them.

use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyfork_tests::births::{Folder, end, program, succeed};
use anyfork_tests::{bounded, has_ended, until};

const TEMPLATES: [&str; 4] = ["early", "exec", "nested", "snapshot"];

fn lets_go(what: &str, template: &str) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_lets_go"), what);
    command.arg(template);
    command
}

fn folder(test: &str) -> Folder {
    Folder::new(env!("CARGO_TARGET_TMPDIR"), test)
}

fn pids(text: &str) -> Vec<u32> {
    let pids = text.split_whitespace().map(|pid| pid.parse().unwrap());
    pids.collect()
}

/// `out=$(./program)`, and `ssh host ./program`.
#[test]
fn output_ends_with_the_program_though_children_of_its_live() {
    for template in TEMPLATES {
        // Until nobody has its streams any more.
        let text = succeed(&mut lets_go("detaches", template));
        let left = pids(&text);
        assert_eq!(left.len(), 2, "{template}: {text}");
        for pid in left {
            assert!(!has_ended(pid), "{template}");
            end(pid);
        }
    }
}

#[test]
fn output_of_a_daemon_ends_when_it_becomes_one() {
    let folder = folder("daemon");
    for template in TEMPLATES {
        let report = folder.join(template);
        let text = succeed(lets_go("becomes-a-daemon", template).arg(&report));
        let [daemon] = pids(&text)[..] else {
            panic!("{template}: {text}");
        };
        until("its report", || {
            fs::metadata(&report).is_ok_and(|it| it.len() > 0)
        });
        assert_eq!(fs::read_to_string(report).unwrap(), "true", "{template}");
        assert!(!has_ended(daemon), "{template}");
        end(daemon);
    }
}

/// `producer | daemon`.
#[test]
fn who_writes_to_a_daemon_is_told_that_nobody_reads() {
    let folder = folder("producer");
    for template in TEMPLATES {
        let (read, mut write) = io::pipe().unwrap();
        let mut command = lets_go("becomes-a-daemon", template);
        let text = succeed(command.arg(folder.join(template)).stdin(read));
        drop(command);
        // What another test starts at this moment may have it, too.
        until("nobody reads", || {
            let written = write.write_all(b"x");
            written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        });
        pids(&text).into_iter().for_each(end);
    }
}

#[test]
fn workers_have_the_streams_and_the_directory_of_their_caller() {
    for template in TEMPLATES {
        let folder = folder("surroundings");
        let mut command = lets_go("surroundings", template);
        let status = bounded(template, || command.arg(&*folder).status()).unwrap();
        // It panics into the file that is its standard error then.
        let said = (0..3).map(|turn| folder.join(format!("below-{turn}/2")));
        let said: String = said.flat_map(fs::read_to_string).collect();
        assert!(status.success(), "{template}: {status}\n{said}");
    }
}

/// `PR_SET_PDEATHSIG`, and those that look at getppid(2).
#[test]
fn a_child_that_wants_to_end_with_its_parent_ends_with_its_program() {
    for template in TEMPLATES {
        let mut command = lets_go("dies", template);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn().unwrap();
        let stdin = program.stdin.take();
        let mut line = String::new();
        let mut stdout = io::BufReader::new(program.stdout.take().unwrap());
        bounded("a line", || io::BufRead::read_line(&mut stdout, &mut line)).unwrap();
        let children = pids(&line);
        assert_eq!(children.len(), 3, "{template}: {line}");
        assert!(children.iter().all(|pid| !has_ended(*pid)), "{template}");
        program.kill().unwrap();
        program.wait().unwrap();
        for pid in children {
            until("it has ended with its program", || has_ended(pid));
        }
        drop(stdin);
    }
}
