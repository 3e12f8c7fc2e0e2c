//! The caller gets what a confined worker returns, and nothing else that the worker tries
//! succeeds.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::Command;

#[test]
fn the_result_comes_home_and_each_attack_fails() {
    let output = Command::new(support::example("sandboxed_worker"))
        .output()
        .expect("run the example");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "3 records\n\
         open: Permission denied (os error 13)\n\
         connect: Operation not permitted (os error 1)\n\
         exec: Operation not permitted (os error 1)\n\
         thread: Operation not permitted (os error 1)\n\
         memory: out of memory\n"
    );
    assert_eq!(stderr, "");
}
