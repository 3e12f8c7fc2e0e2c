//! A program that is linked statically has all kinds of templates, too.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyfork_tests::births::succeed;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The manifest of a package outside of this workspace.
const MANIFEST: &str = r#"
[package]
name = "static"
edition = "2024"

[[bin]]
name = "static"
path = "SOURCE"

[dependencies]
anyfork = { path = "ANYFORK", default-features = false }

# It is built once and run once.
[profile.dev]
debug = false

[workspace]
"#;

/// Builds it in a folder that stays, so that a second run has little to do.
#[test]
fn all_templates_work_in_it() {
    if !cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
        eprintln!("skipped: only tried for {TARGET}");
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
    fs::create_dir_all(&folder).unwrap();
    let manifest = folder.join("Cargo.toml");
    let text = MANIFEST
        .replace(
            "SOURCE",
            here.join("tests/builds/static.rs").to_str().unwrap(),
        )
        .replace("ANYFORK", here.join("../anyfork").to_str().unwrap());
    fs::write(&manifest, text).unwrap();
    // The same versions as everywhere, and no network.
    fs::copy(here.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--offline", "--target", TARGET]);
    build.arg("--manifest-path").arg(&manifest);
    build.arg("--target-dir").arg(folder.join("target"));
    build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    build.env_remove("CARGO_ENCODED_RUSTFLAGS");
    // Cargo takes as long as it takes.
    let output = build.output().unwrap();
    let (status, text) = (output.status, String::from_utf8_lossy(&output.stderr));
    if !status.success() && text.contains("library libc not found") {
        eprintln!("skipped: the C library is not here for static programs");
        return;
    }
    assert!(status.success(), "{text}");

    let program = folder.join("target").join(TARGET).join("debug/static");
    let text = succeed(&mut Command::new(program));
    assert_eq!(text, "all of it works\n");
}
