//! A command does what std's does: each case of these tables runs through both,
//! and the program must find the same, print the same and end the same way, or
//! fail with the same error.

use std::ffi::OsString;
use std::iter;
use std::os::unix::ffi::OsStringExt;

use anyfork_tests::comparison::{Case, compare};
use anyfork_tests::{alone, case};

#[anyfork::early]
fn preload() {}

/// Prints all that it finds.
const TELL: &str = env!("CARGO_BIN_EXE_tell");

fn run(cases: &[Case]) {
    let _alone = alone();
    compare(env!("CARGO_TARGET_TMPDIR"), cases);
}

fn bytes(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

#[test]
fn arguments() {
    run(&[
        case!("none", |_| TELL),
        case!("spaces", |_| TELL, arg("a b"), arg(" "), arg("  c  ")),
        case!(
            "quotes",
            |_| TELL,
            args(["'", "\"", "\\", "`a`", "$b", "*"])
        ),
        case!("an empty one", |_| TELL, arg(""), arg("x"), arg("")),
        case!("lines", |_| TELL, arg("a\nb\tc\r")),
        case!("bytes", |_| TELL, arg(bytes(b"\xff\xfe\x80 \x01"))),
        case!("dashes", |_| TELL, args(["-", "--", "-x", "--x=y"])),
        case!(
            "a thousand",
            |_| TELL,
            args((0..1000).map(|n| n.to_string()))
        ),
        case!("a long one", |_| TELL, arg("x".repeat(131_071))),
        case!("one too long", |_| TELL, arg("x".repeat(131_072))),
        case!(
            "too many",
            |_| TELL,
            args(iter::repeat_n("x".repeat(100_000), 100))
        ),
        case!("another name", |_| TELL, arg0("a name"), arg("x")),
        case!("an empty name", |_| TELL, arg0(""), arg("x")),
        case!("two names", |_| TELL, arg0("one"), arg0("two")),
        case!("a NUL in an argument", |_| TELL, arg("a\0b")),
        case!("a NUL in the name", |_| TELL, arg0("a\0b")),
        case!("a NUL in the program", |_| "a\0b"),
    ]);
}

#[test]
fn environments() {
    run(&[
        case!("a variable", |_| TELL, env("A_NAME", "a value")),
        case!("two values", |_| TELL, env("A", "1"), env("A", "2")),
        case!("an empty value", |_| TELL, env("A", "")),
        case!("signs in a value", |_| TELL, env("A", "=b=\n'c")),
        case!("bytes", |_| TELL, env(bytes(b"\xff"), bytes(b"\xfe "))),
        case!("several", |_| TELL, envs([("A", "1"), ("B", "2")])),
        case!(
            "many",
            |_| TELL,
            envs((0..1000).map(|n| (format!("N{n}"), "")))
        ),
        case!("removed", |_| TELL, env_remove("HOME"), env_remove("NONE")),
        case!("set and removed", |_| TELL, env("A", "1"), env_remove("A")),
        case!(
            "what cannot be there removed",
            |_| TELL,
            env_remove(""),
            env_remove("A=B"),
            env_remove("="),
            env_remove("a\0b")
        ),
        case!(
            "removed and set",
            |_| TELL,
            env_remove("HOME"),
            env("HOME", "/")
        ),
        case!("empty", |_| TELL, env_clear()),
        case!("cleared, then set", |_| TELL, env_clear(), env("A", "1")),
        case!("set, then cleared", |_| TELL, env("A", "1"), env_clear()),
        case!("a value too long", |_| TELL, env("A", "x".repeat(131_072))),
        case!("a NUL in a value", |_| TELL, env("A", "a\0b")),
        case!("a NUL in a name", |_| TELL, env("a\0b", "A")),
    ]);
}

#[test]
fn streams() {
    run(&[
        case!(
            "nothing to read",
            |_| TELL,
            stdin(Stdio::null()),
            arg("--stdin")
        ),
        case!(
            "stdout nowhere",
            |_| TELL,
            stdout(Stdio::null()),
            arg("--to=2")
        ),
        case!(
            "stderr nowhere",
            |_| TELL,
            stderr(Stdio::null()),
            arg("--err=x")
        ),
        case!(
            "all nowhere",
            |_| TELL,
            stdin(Stdio::null()),
            stdout(Stdio::null()),
            stderr(Stdio::null())
        ),
        case!(
            "a closed pipe",
            |_| TELL,
            stdin(Stdio::piped()),
            arg("--stdin")
        ),
        case!(
            "all piped",
            |_| "cat",
            stdin(Stdio::piped()),
            stdout(Stdio::piped()),
            stderr(Stdio::piped())
        ),
        case!("both used", |_| TELL, arg("--err=one\ntwo")),
        case!(
            "a pipe with text",
            |g| TELL,
            arg("--stdin"),
            stdin(g.pipe_with("some text"))
        ),
        case!(
            "a file to read",
            |g| TELL,
            arg("--stdin"),
            stdin(g.read("input"))
        ),
        case!("a file to write", |g| TELL, stdout(g.write("out"))),
        case!(
            "a file each",
            |g| TELL,
            stdout(g.write("out")),
            stderr(g.write("err")),
            arg("--err=x")
        ),
        case!(
            "one file for both",
            |g| TELL,
            stdout(g.write("out")),
            stderr(g.write("out")),
            arg("--err=x")
        ),
        case!(
            "a file's end",
            |g| TELL,
            stdout(g.append("input")),
            stderr(g.append("input"))
        ),
        case!(
            "a file to read, for stdout",
            |g| "echo",
            arg("x"),
            stdout(g.read("input"))
        ),
        case!("a pipe", |g| TELL, arg("--brief"), stdout(g.pipe("out"))),
        case!(
            "one pipe for both",
            |g| TELL,
            arg("--brief"),
            stdout(g.pipe("out")),
            stderr(g.pipe("out")),
            arg("--err=x")
        ),
        case!(
            "a socket",
            |g| TELL,
            arg("--brief"),
            arg("--stdin"),
            stdin(g.socket("told", "some text")),
            stdout(g.socket("told", "some text"))
        ),
        case!(
            "one socket for all",
            |g| "cat",
            stdin(g.socket("a", "text")),
            stdout(g.socket("a", "text")),
            stderr(g.socket("a", "text"))
        ),
        case!(
            "a socket each",
            |g| "cat",
            stdin(g.socket("a", "text")),
            stdout(g.socket("b", "")),
            stderr(g.socket("c", ""))
        ),
        case!(
            "the last counts",
            |g| TELL,
            stdout(Stdio::null()),
            stdout(g.write("out")),
            stderr(g.write("x")),
            stderr(Stdio::piped())
        ),
    ]);
}

#[test]
fn rights_and_groups() {
    // What only root may do must be refused with the same error.
    run(&[
        case!("a group of its own", |_| TELL, process_group(0)),
        case!(
            "the caller's group",
            |_| TELL,
            process_group(nix::unistd::getpgrp().as_raw())
        ),
        case!("a group that cannot be", |_| TELL, process_group(-1)),
        case!("another's group", |_| TELL, process_group(i32::MAX)),
        case!("a user", |_| "id", uid(65534)),
        case!("a group", |_| "id", gid(65534)),
        case!("both", |_| "id", uid(65534), gid(65534)),
        case!("the last user counts", |_| "id", uid(65533), uid(65534)),
        case!("the last group counts", |_| "id", gid(65533), gid(65534)),
        case!(
            "a directory closed to the user",
            |_| "pwd",
            uid(65534),
            current_dir("closed")
        ),
        case!(
            "the caller's directory, closed to the user",
            |g| {
                g.enter("own");
                "id"
            },
            uid(65534)
        ),
        case!("a user that cannot be", |_| "id", uid(u32::MAX)),
    ]);
}

#[test]
fn ends() {
    run(&[
        case!("0", |_| TELL, arg("--exit=0")),
        case!("1", |_| TELL, arg("--exit=1")),
        case!("127", |_| TELL, arg("--exit=127")),
        case!("255", |_| TELL, arg("--exit=255")),
        case!("256", |_| TELL, arg("--exit=256")),
        case!("SIGTERM", |_| TELL, arg("--signal=15")),
        case!("SIGKILL", |_| TELL, arg("--signal=9")),
        case!("SIGPIPE", |_| TELL, arg("--signal=13")),
        case!("SIGUSR1", |_| TELL, arg("--signal=10")),
        case!("a real-time signal", |_| TELL, arg("--signal=40")),
        case!("a signal that ends nothing", |_| TELL, arg("--signal=17")),
        case!(
            "a shell's",
            |_| "sh",
            args(["-c", "echo out; echo err >&2; exit 7"])
        ),
        case!("a false one", |_| "false"),
    ]);
}
