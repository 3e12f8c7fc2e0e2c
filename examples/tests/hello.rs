//! The README's program `hello` prints what its worker says.

mod support;

use std::process::Command;

#[test]
fn a_worker_in_another_process_says_hello_twice() {
    let output = Command::new(support::example("hello"))
        .output()
        .expect("run hello");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(stderr, "");

    let stdout = String::from_utf8(output.stdout).expect("text");
    let (first, second) = stdout.split_once('\n').expect("two lines");
    let pid = first.strip_prefix("hello world from process ");
    pid.expect(first).parse::<u32>().expect("a pid");
    assert_eq!(second, format!("{first}\n"));
}

#[test]
fn the_readme_shows_the_whole_program() {
    let (_about, program) = include_str!("../hello.rs")
        .split_once("\n\n")
        .expect("an empty line below the docs");
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&format!("\n{program}```\n")), "{program}");
}
