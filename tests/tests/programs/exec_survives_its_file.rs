//! This program is exec'ed once more, whatever has become of its file, however it
//! was started, and where the kernel shows no `/proc`.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyfork_tests::births::{Folder, NOT_PERMITTED, program, run, succeed};

const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const EARLY: &str = env!("CARGO_BIN_EXE_early");

fn folder(test: &str) -> Folder {
    Folder::new(env!("CARGO_TARGET_TMPDIR"), test)
}

#[test]
fn it_was_deleted() {
    let folder = folder("deleted");
    for when in ["early", "late"] {
        let copy = folder.copy(PLAIN, when);
        succeed(program(&copy, "file").args(["delete", when]));
        assert!(!copy.exists());
    }
}

#[test]
fn it_was_replaced_by_another_version() {
    let folder = folder("replaced");
    for when in ["early", "late"] {
        let copy = folder.copy(PLAIN, when);
        succeed(program(&copy, "file").args(["replace", when]));
        succeed(&mut Command::new(&copy));
    }
}

#[test]
fn it_was_started_through_a_link() {
    let folder = folder("link");
    let link = folder.join("link");
    symlink(PLAIN, &link).expect("a link");
    succeed(program(&link, "file").arg("nothing"));
    // The copy is deleted, and the link leads nowhere.
    let copy = folder.copy(PLAIN, "copy");
    fs::remove_file(&link).expect("a link");
    symlink(copy, &link).expect("a link");
    succeed(program(&link, "file").arg("delete"));
}

#[test]
fn it_was_started_by_a_relative_path() {
    let folder = folder("relative");
    folder.copy(PLAIN, "plain");
    let mut relative = program("./plain", "file");
    succeed(relative.arg("leave").current_dir(&*folder));
    let mut in_path = program("plain", "file");
    succeed(in_path.arg("leave").env("PATH", &*folder));
}

#[test]
fn it_was_started_under_another_name() {
    for name in ["another name", "", "/bin/true", "-sh"] {
        succeed(program(PLAIN, "file").arg("leave").arg0(name));
    }
}

#[test]
fn it_was_started_with_closed_streams() {
    for program in [PLAIN, EARLY] {
        for closed in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"] {
            let script = format!("exec '{program}' streams {closed}");
            succeed(Command::new("/bin/sh").args(["-c", &script]));
        }
    }
}

#[test]
fn there_is_no_proc() {
    let (status, text) = run(program(PLAIN, "without-proc").arg(EARLY));
    if status.code() == Some(NOT_PERMITTED.into()) {
        eprintln!("skipped: a namespace for mounts of its own is not permitted");
        return;
    }
    assert!(status.success(), "{status}\n{text}");
}
