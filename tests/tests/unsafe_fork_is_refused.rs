//! Where a fork before `main` would not be safe there is none, and a template is
//! exec'ed instead; where a preload function fails there is no template at all.
//! The error says why.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, id};

use anyfork_tests::births::{boot_by_hand, example};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::Uid;

const PRELOADS: &str = env!("CARGO_BIN_EXE_preloads");

/// What a program prints on its standard output and error.
fn said(command: &mut Command) -> String {
    let output = command.env("RUST_BACKTRACE", "0").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{error}");
    text
}

/// All lines of errors are of the same kind and give the reason.
fn assert_refused(text: &str, lines: usize, reason: &str) {
    let found: Vec<_> = text.lines().filter(|line| line.contains(reason)).collect();
    assert_eq!(found.len(), lines, "{reason:?} in {text}");
    for line in found {
        assert!(line.contains("TemplateGone: "), "{line}");
    }
}

/// There is no early template, for that reason, and workers of another one.
fn assert_replaced(text: &str, reason: &str) {
    assert_refused(text, 1, reason);
    let workers = text.matches("[\"first\", \"second\"], main began: false");
    assert_eq!(workers.count(), 3, "{text}");
}

#[test]
fn a_thread_before_main() {
    let text = said(Command::new(PRELOADS).env("BEFORE_MAIN", "thread"));
    assert_replaced(&text, "no early template: 2 threads existed before `main`");
}

/// What no other thread would be left of in a template.
#[test]
fn a_constructor_that_starts_a_thread() {
    let text = said(Command::new(PRELOADS).env("CONSTRUCTOR", "thread"));
    let early = usize::from(!text.contains("early: None"));
    for reason in [
        "a constructor of the program, which runs before `main`, left 1 thread running",
        "`#[anyfork::early(constructors = false)]`",
    ] {
        assert_refused(&text, 3 + early, reason);
    }
}

#[test]
fn nothing_that_asks_for_one() {
    let text = said(&mut Command::new(env!("CARGO_BIN_EXE_bare")));
    assert_refused(
        &text,
        1,
        "nothing in this program is annotated with `#[anyfork::early]`",
    );
    assert!(text.contains("new: None"), "{text}");
}

#[test]
fn a_library_that_is_loaded_later() {
    let library = example(env!("CARGO_BIN_EXE_bare"), "library");
    let text = said(Command::new(env!("CARGO_BIN_EXE_bare")).arg(library));
    assert_refused(&text, 1, "no early template: this is a shared library");
    assert!(text.contains("new: None"), "{text}");
}

/// A copy of the program that runs as somebody else than who starts it.
struct Raised(PathBuf);

impl Raised {
    fn new() -> Option<Raised> {
        let folder = std::env::temp_dir();
        if !Uid::effective().is_root() {
            eprintln!("skipped: only root can make a setuid program of another user");
            return None;
        }
        if statvfs(&folder)
            .unwrap()
            .flags()
            .contains(FsFlags::ST_NOSUID)
        {
            eprintln!(
                "skipped: {} does not allow setuid programs",
                folder.display()
            );
            return None;
        }
        let program = Raised(folder.join(format!("anyfork-raised-{}", id())));
        // By another process: a child that another test forks here at this
        // moment would hold our copy open for writing, and it could not run.
        let copied = Command::new("cp").arg(PRELOADS).arg(&program.0).status();
        assert!(copied.unwrap().success());
        chown(&program.0, Some(54_321), Some(54_321)).unwrap();
        fs::set_permissions(&program.0, Permissions::from_mode(0o6755)).unwrap();
        Some(program)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn a_program_with_raised_rights() {
    let Some(program) = Raised::new() else { return };
    let text = said(Command::new(&program.0).uid(54_322).gid(54_322));
    let reason = "no early template: the program runs with raised rights (AT_SECURE)";
    assert_replaced(&text, reason);
}

/// The variable may hold anything, before any other check.
#[test]
fn a_marker_that_is_none() {
    for bytes in [vec![0xff; 2000], b"3".to_vec(), b"-1".to_vec(), Vec::new()] {
        let marker = OsString::from_vec(bytes);
        let text = said(Command::new(PRELOADS).env("ANYFORK_TEMPLATE", marker));
        assert!(text.contains("early: None"), "{text}");
    }
}

/// Who runs it does not get its rights for functions of his choice.
#[test]
fn a_marker_for_a_program_with_raised_rights() {
    let (control, served, _answer) = boot_by_hand(1);
    let number = served.as_raw_fd().to_string();
    // A template whose owner is gone.
    drop(control);
    let text = said(Command::new(PRELOADS).env("ANYFORK_TEMPLATE", &number));
    assert!(!text.contains("early: "), "it has no main: {text}");

    let Some(program) = Raised::new() else { return };
    let (_control, served, _answer) = boot_by_hand(1);
    let number = served.as_raw_fd().to_string();
    let mut command = Command::new(&program.0);
    let output = command.env("ANYFORK_TEMPLATE", number).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn a_preload_that_fails() {
    for (failure, reason) in [
        (
            "panic",
            "preload `preloads::first` panicked: a test's panic",
        ),
        (
            "error",
            "preload `preloads::second` failed: the model is missing",
        ),
        ("code", "preload `preloads::second` failed with exit code 3"),
        ("thread", "its preload functions left 1 thread running: `"),
        ("exit", "the template process has ended before it was ready"),
    ] {
        let text = said(Command::new(PRELOADS).env("PRELOAD", failure));
        // `early` may be asked before the failure; the launches tell of it.
        let early = usize::from(!text.contains("early: None"));
        assert_refused(&text, 3 + early, reason);
    }
}
