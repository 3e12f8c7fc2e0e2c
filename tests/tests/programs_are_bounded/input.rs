//! Input is fed while output is read, and a program need not read it.

use anyfork::{Command, Stdio};
use anyfork_tests::alone;

use crate::{TEN_MEBIBYTES, outputs, pattern, sh, statuses};

#[test]
fn binary_input_comes_back_whatever_its_size() {
    for len in [0, 1, 65_536, 65_537, TEN_MEBIBYTES] {
        let input = pattern(len);
        let command = || {
            let mut command = Command::new("cat");
            command.input(input.clone());
            command
        };
        outputs(command, |output| {
            let output = output.unwrap();
            assert!(output.status.success());
            assert!(output.stdout == input);
            assert!(output.stderr.is_empty());
        });
    }
}

#[test]
fn input_that_nobody_reads_is_no_error() {
    let with_input = |mut command: Command| {
        command.input(pattern(TEN_MEBIBYTES));
        command
    };
    // It exits at once; it closes its input, and goes on; it reads a part.
    for script in [
        ":",
        "exec <&-; echo x; sleep 0.1",
        "head -c 100000 >&2; exit",
    ] {
        outputs(
            || with_input(sh(script)),
            |output| assert!(output.unwrap().status.success()),
        );
    }
    statuses(
        || with_input(Command::new("true")),
        |exit| assert!(exit.unwrap().success()),
    );
    // It runs as long as it has its input, and is not waited for after its exit.
    outputs(
        || with_input(sh("exec 3<&0; sleep 0.1; echo done")),
        |output| assert_eq!(output.unwrap().stdout, b"done\n"),
    );
}

/// With the default action, a SIGPIPE would end this process: see `input_raises_no_signal`.
fn with_sigpipe_at_its_default(work: impl FnOnce()) {
    // SAFETY: neither action runs code.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    work();
    // SAFETY: as above; the action is one that the call returned.
    unsafe { libc::signal(libc::SIGPIPE, before) };
}

#[test]
fn input_raises_no_signal() {
    with_sigpipe_at_its_default(|| {
        outputs(
            || {
                let mut command = Command::new("true");
                command.input(pattern(TEN_MEBIBYTES));
                command
            },
            |output| assert!(output.unwrap().status.success()),
        );
    });
}

#[test]
fn the_last_of_two_inputs_counts() {
    let _alone = alone();
    let mut command = Command::new("cat");
    command.input("one").input("two");
    assert_eq!(command.output().blocking().unwrap().stdout, b"two");
    // It may be started again.
    assert_eq!(command.output().blocking().unwrap().stdout, b"two");
    command.stdin(Stdio::null());
    assert_eq!(command.output().blocking().unwrap().stdout, b"");
    command.input("three");
    assert_eq!(command.output().blocking().unwrap().stdout, b"three");
}
