//! A status closes the streams that are piped: nobody could read or write them, and a
//! program that prints more than a pipe holds, or reads to the end, would wait for ever.

use anyfork::{Command, Exit, Launch, Stdio};
use anyfork_tests::{bounded, new, runtime};

const SCRIPT: &str = "cat; head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 6";

fn must_end(launch: impl Fn() -> Launch<Exit>) {
    let exit = bounded("a status", || launch().blocking()).unwrap();
    assert_eq!(exit.code(), Some(6));
    let awaited = bounded("a status", || runtime().block_on(async { launch().await }));
    assert_eq!(awaited.unwrap().code(), Some(6));
}

#[test]
fn whatever_is_piped() {
    let pipe = Stdio::piped;
    must_end(|| {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).stdin(pipe());
        command.stdout(pipe()).stderr(pipe()).status()
    });
    must_end(|| {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).stdin(Stdio::null());
        command.stdout(pipe()).stderr(Stdio::null()).status()
    });
    must_end(|| {
        let process = new().stdin(pipe()).stdout(pipe()).stderr(pipe());
        process.exec("sh").args(["-c", SCRIPT]).status()
    });
}
