//! A program that is linked statically has all kinds of templates, too.

use std::process::Command;

use anyfork_tests::births::succeed;

use crate::Package;

const TARGET: &str = "x86_64-unknown-linux-gnu";

const PACKAGE: Package = Package {
    name: "static",
    source: "tests/builds/static.rs",
    profile: "",
};

#[test]
fn all_templates_work_in_it() {
    if !cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
        eprintln!("skipped: only tried for {TARGET}");
        return;
    }
    let (output, target) = PACKAGE.build(|build| {
        build.args(["--target", TARGET]);
        build.env("RUSTFLAGS", "-C target-feature=+crt-static");
        build.env_remove("CARGO_ENCODED_RUSTFLAGS");
    });
    let (status, text) = (output.status, String::from_utf8_lossy(&output.stderr));
    if !status.success() && text.contains("library libc not found") {
        eprintln!("skipped: the C library is not here for static programs");
        return;
    }
    assert!(status.success(), "{text}");

    let program = target.join(TARGET).join("debug/static");
    let text = succeed(&mut Command::new(program));
    assert_eq!(text, "all of it works\n");
}
