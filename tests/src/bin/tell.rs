//! A program that tells what it finds when it starts, and ends as it is told to.
//!
//! It has no `main` of Rust's, whose runtime would open closed streams, ignore
//! SIGPIPE and catch SIGSEGV first. The arguments that it obeys:
//!
//! | argument | meaning |
//! |---|---|
//! | `--to=N` | tell it to this descriptor, in place of 1 |
//! | `--brief` | leave out what is long: environment and limits |
//! | `--stdin` | read the standard input to its end, and tell it |
//! | `--read=N` | read descriptor N to its end, and tell it |
//! | `--err=TEXT` | print the text to descriptor 2 |
//! | `--exit=N`, `--signal=N` | end so |
#![cfg_attr(not(test), no_main)]

use std::env;
use std::ffi::{CStr, OsStr};
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::mem::{self, ManuallyDrop};
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;

/// Called by the C library.
// SAFETY: this program has no other `main`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn main() -> i32 {
    let mut text = String::new();
    tell(&mut text).expect("a string");
    print(number("--to=").unwrap_or(1), &text);
    if let Some(text) = value("--err=") {
        print(2, &text);
    }
    if let Some(signal) = number("--signal=") {
        // SAFETY: takes a number.
        unsafe { libc::raise(signal) };
    }
    number("--exit=").unwrap_or(0)
}

fn tell(text: &mut String) -> std::fmt::Result {
    for (number, arg) in env::args_os().enumerate() {
        writeln!(text, "argument {number} {}", escaped(&arg))?;
    }
    writeln!(text, "file {}", escaped(file()))?;
    match env::current_dir() {
        Ok(directory) => writeln!(text, "directory {}", escaped(directory.as_os_str()))?,
        Err(error) => writeln!(text, "no directory: {:?}", error.kind())?,
    }
    tell_descriptors(text)?;
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    for line in status.lines() {
        let (field, value) = line.split_once(':').expect("a field");
        if matches!(
            field,
            "Umask"
                | "Uid"
                | "Gid"
                | "Groups"
                | "SigBlk"
                | "SigIgn"
                | "SigCgt"
                | "NoNewPrivs"
                | "Cpus_allowed"
        ) {
            writeln!(text, "{field} {}", value.trim())?;
        }
        if field == "SigIgn" {
            let ignored = u64::from_str_radix(value.trim(), 16).expect("a mask");
            let pipe = ignored >> (libc::SIGPIPE - 1) & 1;
            writeln!(text, "SIGPIPE ignored: {pipe}")?;
            // Without two that the C library has for itself.
            writeln!(text, "ignored {:x}", ignored & !(3 << 31))?;
        }
    }
    // SAFETY: all take numbers.
    let (group, session, parent, nice) = unsafe {
        let parent = libc::getppid();
        let relation = |mine, its| {
            if mine == its {
                "the parent's"
            } else {
                "another"
            }
        };
        let group = match libc::getpgrp() {
            own if own == libc::getpid() => "its own",
            group => relation(group, libc::getpgid(parent)),
        };
        let session = relation(libc::getsid(0), libc::getsid(parent));
        let nice = libc::getpriority(libc::PRIO_PROCESS, 0);
        (group, session, parent, nice)
    };
    assert!(parent > 0);
    writeln!(text, "group {group}\nsession {session}\nnice {nice}")?;
    let adjustment = fs::read_to_string("/proc/self/oom_score_adj").expect("/proc");
    writeln!(text, "oom_score_adj {}", adjustment.trim())?;
    if !is_told("--brief") {
        let mut variables: Vec<_> = env::vars_os().collect();
        variables.sort();
        for (name, value) in variables {
            writeln!(text, "variable {}={}", escaped(&name), escaped(&value))?;
        }
        text.push_str(&fs::read_to_string("/proc/self/limits").expect("/proc"));
    }
    for number in values("--read=") {
        let mut content = String::new();
        // SAFETY: it is used as what it is, and not closed.
        let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(number) });
        let read = file.read_to_string(&mut content);
        writeln!(text, "read {number} {:?} {content}", read.is_ok())?;
    }
    if is_told("--stdin") {
        let mut content = Vec::new();
        // SAFETY: it is used as what it is, and not closed.
        let mut stdin = ManuallyDrop::new(unsafe { File::from_raw_fd(0) });
        let read = stdin
            .read_to_end(&mut content)
            .map_err(|error| error.kind());
        writeln!(text, "stdin {read:?} {}", content.escape_ascii())?;
    }
    Ok(())
}

/// What the descriptors are, without what differs from run to run: a pipe, a
/// socket or a file is known by the lowest number under which it is open.
fn tell_descriptors(text: &mut String) -> std::fmt::Result {
    let mut seen = Vec::new();
    for number in 0..1024 {
        // SAFETY: all-zero is a valid stat.
        let mut stat: libc::stat = unsafe { mem::zeroed() };
        // SAFETY: writes to a local; a number that is not open is an error.
        if unsafe { libc::fstat(number, &raw mut stat) } != 0 {
            continue;
        }
        let identity = (stat.st_dev, stat.st_ino, stat.st_rdev);
        let same = seen.iter().find(|(_, other)| *other == identity);
        let same = same.map_or(number, |(first, _)| *first);
        seen.push((number, identity));
        let link = fs::read_link(format!("/proc/self/fd/{number}")).expect("/proc");
        let kind = match stat.st_mode & libc::S_IFMT {
            libc::S_IFIFO => "a pipe".to_owned(),
            libc::S_IFSOCK => "a socket".to_owned(),
            _ => escaped(link.as_os_str()),
        };
        // SAFETY: takes numbers.
        let (status, own) = unsafe {
            (
                libc::fcntl(number, libc::F_GETFL),
                libc::fcntl(number, libc::F_GETFD),
            )
        };
        writeln!(
            text,
            "descriptor {number} is {kind}, as {same}, {status:o} {own}"
        )?;
    }
    Ok(())
}

/// What was executed (`AT_EXECFN` of getauxval(3)).
fn file() -> &'static OsStr {
    // SAFETY: takes a number.
    let address = unsafe { libc::getauxval(libc::AT_EXECFN) };
    // SAFETY: the kernel has put a string there, for as long as this program runs.
    let file = unsafe { CStr::from_ptr(address as *const libc::c_char) };
    OsStr::from_bytes(file.to_bytes())
}

fn escaped(text: &OsStr) -> String {
    text.as_bytes().escape_ascii().to_string()
}

fn is_told(what: &str) -> bool {
    env::args_os().any(|arg| arg == what)
}

fn value(name: &str) -> Option<String> {
    env::args_os().find_map(|arg| Some(arg.to_str()?.strip_prefix(name)?.to_owned()))
}

fn values(name: &str) -> Vec<i32> {
    let given = env::args_os().filter_map(|arg| arg.to_str()?.strip_prefix(name)?.parse().ok());
    given.collect()
}

fn number(name: &str) -> Option<i32> {
    value(name).map(|value| value.parse().expect("a number"))
}

/// Whoever reads may be gone.
fn print(number: i32, text: &str) {
    // SAFETY: it is used as what it is, and not closed.
    let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(number) });
    let _ = file.write_all(text.as_bytes());
}
