//! A command finds its program, and its directory, as std's does, or fails with
//! the same error: each case of these tables runs through both.

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

#[test]
fn places_of_programs() {
    run(&[
        case!("a path", |g| g.path("bin/hello"), arg("you")),
        case!("a relative path", |_| "bin/hello", arg("you")),
        case!("one from here", |_| "./here"),
        case!("one through a link", |_| "link/../bin/hello"),
        case!("a name", |_| "printenv", arg("PATH")),
        case!("a name in PATH", |g| "hello", env("PATH", g.path("bin"))),
        case!("in a relative PATH", |_| "hello", env("PATH", "bin2:bin")),
        case!("first in PATH", |_| "hello", env("PATH", "sub:bin")),
        case!("in PATH, here", |_| "here", env("PATH", "bin::bin2")),
        case!("in PATH, here at the end", |_| "here", env("PATH", "bin:")),
        case!("in an empty PATH", |_| "here", env("PATH", "")),
        case!("nowhere in PATH", |_| "hello", env("PATH", "bin2:/")),
        case!("behind a plain file", |_| "hello", env("PATH", "plain:bin")),
        case!("only a plain file", |_| "hello", env("PATH", "plain:bin2")),
        case!("behind a folder", |_| "hello", env("PATH", "taken:bin")),
        case!(
            "behind what is no folder",
            |_| "hello",
            env("PATH", "input:bin")
        ),
        case!(
            "behind what is missing",
            |_| "hello",
            env("PATH", "/no/such:bin")
        ),
        case!("behind a loop", |_| "hello", env("PATH", "loop:bin")),
        case!(
            "behind a long name",
            |_| "hello",
            env("PATH", format!("{}:bin", "x".repeat(300)))
        ),
        case!(
            "behind a longer one",
            |_| "hello",
            env("PATH", format!("{}:bin", "x".repeat(5000)))
        ),
        case!("PATH removed", |_| "echo", env_remove("PATH")),
        case!("all removed", |_| "env", env_clear()),
        case!(
            "only PATH left",
            |_| "hello",
            env_clear(),
            env("PATH", "bin")
        ),
        case!(
            "told in PATH",
            |_| "tell",
            env("PATH", TELL.strip_suffix("/tell").unwrap())
        ),
        case!("not in the caller's PATH", |_| "hello", env("HOME", "/")),
    ]);
}

#[test]
fn programs_that_are_none() {
    run(&[
        case!("missing", |_| "/no/such/program"),
        case!("a missing name", |_| "no-such-program"),
        case!("an empty name", |_| ""),
        case!("a directory", |_| "./sub"),
        case!("the root", |_| "/"),
        case!("a plain file", |_| "plain/hello"),
        case!("in a file", |_| "input/hello"),
        case!("a text", |_| "./text"),
        case!("an empty file", |_| "./empty"),
        case!("a part of a program", |_| "./broken"),
        case!("without interpreter", |_| "./lost"),
        case!(
            "its interpreter has an argument",
            |_| "./echoing",
            arg("x y")
        ),
        case!("a loop", |_| "./loop"),
        case!("a name too long", |_| format!("./{}", "x".repeat(300))),
        case!("a path too long", |_| "x/".repeat(3000)),
        case!(
            "missing, in a missing directory",
            |_| "/no",
            current_dir("/no")
        ),
    ]);
}

#[test]
fn directories() {
    run(&[
        case!("a path", |g| TELL, current_dir(g.path("sub"))),
        case!("a relative path", |_| TELL, current_dir("sub/deeper")),
        case!("the one above", |_| TELL, current_dir("..")),
        case!("through a link", |_| TELL, current_dir("link")),
        case!("the root", |_| TELL, current_dir("/")),
        case!(
            "the last counts",
            |_| TELL,
            current_dir("sub"),
            current_dir("bin")
        ),
        case!(
            "only the last",
            |_| TELL,
            current_dir("/no/such"),
            current_dir("/")
        ),
        case!("the program from there", |_| "./hello", current_dir("sub")),
        case!("not from here", |_| "bin/hello", current_dir("sub")),
        case!("above there", |_| "../bin/hello", current_dir("sub")),
        case!(
            "PATH from there",
            |_| "hello",
            current_dir("sub"),
            env("PATH", "../bin")
        ),
        case!(
            "PATH is there",
            |_| "hello",
            current_dir("sub"),
            env("PATH", "")
        ),
        case!("the caller's", |g| {
            g.enter("sub");
            TELL
        }),
        case!("missing", |_| TELL, current_dir("/no/such/directory")),
        case!("with an empty name", |_| TELL, current_dir("")),
        case!("no directory", |_| TELL, current_dir("input")),
        case!("a loop", |_| TELL, current_dir("loop")),
        case!("a closed one", |_| TELL, current_dir("closed")),
        case!("a NUL in it", |_| TELL, current_dir("a\0b")),
    ]);
}
