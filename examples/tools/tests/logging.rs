//! The log of the example has the events of its workers, in the spans of their calls, and
//! everything that the workers have printed.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::Command;

#[test]
fn the_log_has_what_workers_report_and_print() {
    let output = Command::new(support::example("logging"))
        .env("NO_COLOR", "1")
        .output()
        .expect("run the example");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = |parts: &[&str]| {
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        text.lines().filter(has_all).count()
    };
    for (path, width) in [("/cat.png", 400), ("/dog.png", 300)] {
        let span = format!("request{{path=\"{path}\"}}:call{{function=\"logging::thumbnail\" id=");
        let event = format!("resized width={width}");
        assert_eq!(lines(&["INFO", &span, " pid=", &event]), 1, "{text}");
        let printed = format!("printed: decoding {path} pid=");
        assert_eq!(lines(&["INFO", &printed, "call="]), 1, "{text}");
    }
    let failed = "request{path=\"/empty.png\"}:call{";
    assert_eq!(
        lines(&["WARN", failed, "an image without pixels"]),
        1,
        "{text}"
    );
    assert_eq!(
        lines(&["ERROR", "an image without pixels", "call="]),
        1,
        "{text}"
    );
    assert_eq!(lines(&["nobody has asked"]), 0, "{text}");
}
