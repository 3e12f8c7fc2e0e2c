//! In a program whose panics abort (`panic = "abort"`), they are told all the
//! same: of any thread, as each of them ends the worker.

use std::path::{Path, PathBuf};

use anyfork_tests::births::program;
use anyfork_tests::bounded;

use crate::Package;

const PACKAGE: Package = Package {
    name: "aborting",
    source: "src/bin/failing.rs",
    profile: r#"panic = "abort""#,
};

fn build() -> PathBuf {
    let (output, target) = PACKAGE.build(|build| {
        // Flags of the tests' own, such as a target's, would lead elsewhere.
        build.env_remove("CARGO_BUILD_TARGET");
    });
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    target.join("debug/aborting")
}

/// What the program prints of its worker, without the pid.
fn reported(path: &Path, template: &str, how: &str) -> Vec<String> {
    let mut program = program(path, template);
    program.arg(how).env_remove("RUST_BACKTRACE");
    let output = bounded(how, || program.output()).unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(String::from_utf8);
    let stderr = stderr.unwrap();
    assert!(output.status.success(), "{stderr}");
    let stdout = stdout.unwrap();
    let (pid, reported) = stdout.split_once('\n').unwrap();
    let prefix = format!("anyfork worker aborting::work ({pid}):");
    let says = stderr.lines().any(|line| line.starts_with(&prefix));
    assert_eq!(says, how != "nothing", "{stderr}");
    reported.lines().map(str::to_owned).collect()
}

#[test]
fn a_panic_is_reported_before_it_aborts() {
    let path = build();
    for template in ["early", "exec", "snapshot"] {
        for (how, name) in [("panic", "none"), ("caught", "none"), ("thread", "helper")] {
            let lines = reported(&path, template, how);
            let [exit, message, place, thread, backtrace @ ..] = &lines[..] else {
                panic!("{lines:?}");
            };
            // Behind it may stand that there is a core.
            assert!(exit.starts_with("signal: 6 (SIGABRT)"), "{exit}");
            let line = message.strip_prefix("out of luck, line ").unwrap();
            let expected = format!("src/bin/failing.rs:{line}:5");
            assert!(place.ends_with(&expected), "{place}");
            assert_eq!(thread, name);
            let frame = |name: &str| backtrace.iter().any(|it| it.contains(name));
            assert!(
                frame("aborting::fail") && frame("aborting::work"),
                "{lines:?}"
            );
            assert!(!frame("anyfork::template"), "{lines:?}");
        }
        let lines = reported(&path, template, "error");
        assert_eq!(lines[..2], ["exit status: 1", "the disk is full"]);
        assert_eq!(lines[2..], ["none"; 3]);
        assert_eq!(reported(&path, template, "nothing"), ["exit status: 0"]);
    }
}
