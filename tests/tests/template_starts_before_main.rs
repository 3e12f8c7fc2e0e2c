//! The early template is forked before `main`, and a worker of it finds what a
//! Rust `main` finds, however the program was started.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, id};
use std::sync::Mutex;

use anyfork::Process;
use anyfork_tests::births::succeed;
use anyfork_tests::{bounded, children, early_template, status};

/// What is to be done before the probe is entered.
#[derive(Clone, Copy, Default)]
struct Start {
    /// Bits: the standard streams to close.
    closed: u8,
    /// Whether all signals are blocked and as many as can be ignored.
    deaf: bool,
}

/// What the probe has found: "worker 0" or "template SigBlk", and the rest.
struct Report(BTreeMap<String, String>);

impl Start {
    fn probe(self, name: &str) -> Report {
        let path = format!("{}/{name}-{}", env!("CARGO_TARGET_TMPDIR"), id());
        let mut command = Command::new(env!("CARGO_BIN_EXE_probe"));
        command.args(["describe", &path]);
        // SAFETY: calls what may be called between fork and exec.
        unsafe { command.pre_exec(move || self.apply()) };
        let status = bounded(name, || command.status()).unwrap();
        assert!(status.success(), "{name}: {status}");
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        let lines = text.lines().map(|line| {
            let (space, _) = line.match_indices(' ').nth(1).unwrap();
            (line[..space].to_owned(), line[space + 1..].to_owned())
        });
        Report(lines.collect())
    }

    fn apply(self) -> io::Result<()> {
        if self.deaf {
            for signal in 1..=libc::SIGRTMAX() {
                // SAFETY: an action without code; some signals refuse it.
                unsafe { libc::signal(signal, libc::SIG_IGN) };
            }
            // SAFETY: all-zero is a valid set.
            let mut all = unsafe { std::mem::zeroed() };
            // SAFETY: fills a local.
            unsafe { libc::sigfillset(&raw mut all) };
            // SAFETY: reads a local.
            unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) };
        }
        // Nothing of this test's own environment.
        // SAFETY: marks descriptors that nobody uses after exec.
        unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        for number in (0..3).filter(|number| self.closed & (1 << number) != 0) {
            // SAFETY: nobody uses a standard stream before exec.
            unsafe { libc::close(number) };
        }
        Ok(())
    }
}

impl Report {
    fn get(&self, key: &str) -> &str {
        self.0
            .get(key)
            .unwrap_or_else(|| panic!("{key} in {:?}", self.0))
    }

    /// The descriptors above the standard streams.
    fn others(&self, who: &str) -> Vec<&str> {
        let of_who = self.0.iter().filter_map(|(key, value)| {
            let number: i32 = key.strip_prefix(who)?.trim().parse().ok()?;
            (number > 2).then_some(value.as_str())
        });
        of_who.collect()
    }
}

#[test]
fn closed_standard_streams_are_opened() {
    for closed in 0..8 {
        let report = Start {
            closed,
            ..Start::default()
        }
        .probe("streams");
        for number in 0..3 {
            for who in ["program", "template", "worker"] {
                let stream = report.get(&format!("{who} {number}"));
                match closed & (1 << number) {
                    0 => assert!(!stream.starts_with("socket:"), "{closed}: {stream}"),
                    _ => assert_eq!(stream, "/dev/null false", "{who} {number}"),
                }
                assert!(stream.ends_with(" false"), "close-on-exec: {stream}");
            }
        }
        // The library's own are above, and do not pass an exec.
        for who in ["program", "template", "worker"] {
            for other in report.others(who) {
                assert!(other.ends_with(" true"), "{who}: {other}");
            }
        }
        assert_eq!(report.others("program").len(), 2, "{:?}", report.0);
        assert!(report.others("worker").len() <= 2, "{:?}", report.0);
    }
}

#[test]
fn a_worker_has_signals_as_the_program_was_started() {
    let sigpipe = 1 << (libc::SIGPIPE - 1);
    // This test may have been started by something like nohup.
    let here = u64::from_str_radix(&status(std::process::id(), "SigIgn"), 16).unwrap() & !sigpipe;
    for deaf in [false, true] {
        let report = Start {
            deaf,
            ..Start::default()
        }
        .probe("signals");
        // Without the two that are the C library's own: its posix_spawn leaves
        // them ignored, and nobody but it may change them.
        let set = |key| u64::from_str_radix(report.get(key), 16).unwrap() & !(3 << 31);
        assert_eq!(set("worker SigBlk"), 0);
        // What was ignored at the program's start stays so, as for any child.
        assert_eq!(set("worker SigIgn"), set("program SigIgn") | sigpipe);
        // Handlers report a crash, as Rust's `main` has one for a stack overflow.
        let crashes = [libc::SIGABRT, libc::SIGBUS, libc::SIGSEGV];
        let crashes: u64 = crashes.iter().map(|signal| 1 << (signal - 1)).sum();
        assert_eq!(set("worker SigCgt") & !crashes, 0);
        // The program is as it was started.
        assert_eq!(set("program SigBlk") != 0, deaf);
        assert_eq!(set("program SigIgn") & !here != sigpipe, deaf);
    }
}

#[test]
fn a_template_and_its_workers_have_one_thread() {
    let report = Start::default().probe("threads");
    for who in ["template", "worker"] {
        assert_eq!(report.get(&format!("{who} Threads")), "1");
    }
}

/// What [`preloads`] prints, with this environment.
fn preloads(environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_preloads"));
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

#[test]
fn all_preloads_run_before_main() {
    let text = preloads(&[]);
    assert!(text.contains("early: None"), "{text}");
    let found = "[\"first\", \"second\"], main began: false";
    assert_eq!(text.matches(found).count(), 3, "{text}");
}

/// Once each, before the preloads, in a template that is forked as in one that is
/// exec'ed: it has to be where there are threads before `main`.
#[test]
fn the_programs_constructors_have_run() {
    for before in ["nothing", "thread"] {
        let text = preloads(&[("BEFORE_MAIN", before)]);
        assert_eq!(text.contains("early: None"), before == "nothing", "{text}");
        let found = "main began: false, constructed: 1\n";
        assert_eq!(text.matches(found).count(), 3, "{text}");
    }
}

/// Where a program wishes for no constructors, one that starts a thread is no
/// hindrance.
#[test]
fn constructors_can_be_left_out() {
    for constructor in ["nothing", "thread"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_without_constructors"));
        let text = succeed(command.env("CONSTRUCTOR", constructor));
        assert_eq!(text, "main 1, early 0, exec'ed 0\n");
    }
}

#[test]
fn what_was_printed_comes_out_once() {
    let text = preloads(&[("BEFORE_MAIN", "text")]);
    for (words, count) in [("before in", 1), ("preload in", 1), ("worker in", 3)] {
        for language in ["C", "Rust"] {
            let words = format!("{words} {language}; ");
            assert_eq!(text.matches(&words).count(), count, "{words:?} in {text:?}");
        }
    }
}

#[test]
fn main_may_be_async() {
    let output = Command::new(env!("CARGO_BIN_EXE_async_main"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"hello above\nhello below\n");
}

static LOADED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

#[anyfork::early]
fn preload() {
    LOADED.lock().unwrap().push(id());
}

mod other {
    #[anyfork::early]
    fn preload() {
        super::LOADED.lock().unwrap().push(0);
    }
}

#[anyfork::worker]
fn loaded(mut socket: UnixStream) -> io::Result<()> {
    io::Write::write_all(
        &mut socket,
        format!("{:?}", LOADED.lock().unwrap()).as_bytes(),
    )
}

/// In this file, too: the template was forked before the harness had threads.
#[test]
fn a_test_file_has_a_template() {
    let template = early_template();
    for _ in 0..2 {
        let mut worker = loaded::run(Process::new().unwrap()).blocking().unwrap();
        let mut text = String::new();
        worker.socket.read_to_string(&mut text).unwrap();
        // By the order of their names.
        assert_eq!(text, format!("[0, {template}]"));
    }
    assert!(LOADED.lock().unwrap().is_empty());
    assert!(!children(id()).contains_key(&template));
}
