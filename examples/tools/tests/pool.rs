//! The example `pool` reads all files of a folder, and a file that crashes its worker costs
//! one line.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_file_that_crashes_its_worker_costs_one_line() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pool");
    fs::create_dir_all(folder.join("deeper")).expect("make a folder");
    for number in 0..30 {
        let text = "(".repeat(number) + &")".repeat(number);
        fs::write(folder.join(format!("{number:02}")), text).expect("write a file");
    }
    fs::write(folder.join("deeper/bad"), "[".repeat(1 << 21)).expect("write a file");

    let output = Command::new(support::example("pool"))
        .arg(&folder)
        .output()
        .expect("run the example");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let folder = folder.to_str().expect("a path in UTF-8");
    for number in 0..30 {
        let line = format!("{folder}/{number:02}: {number}");
        assert!(text.lines().any(|it| it == line), "{text}");
    }
    let bad = format!("{folder}/deeper/bad: ");
    let bad = text.lines().find_map(|line| line.strip_prefix(&bad));
    let bad = bad.expect("a line for the bad file");
    assert!(bad.contains("pool::depth"), "{bad}");
    assert!(bad.contains("SIGSEGV") || bad.contains("SIGABRT"), "{bad}");
    assert!(
        text.ends_with("31 files, 1 have crashed a process\n"),
        "{text}"
    );
}
