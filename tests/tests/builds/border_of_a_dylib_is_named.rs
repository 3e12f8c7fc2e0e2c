//! Functions that the border of a `dylib` hides: the error says where anyfork looks, and
//! why it does not find them.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyfork_tests::births::succeed;

const PROGRAM: &str = r#"
use anyfork::Process;

/// Registered in the program, while anyfork is in the library.
#[anyfork::worker]
fn hidden() {}

fn main() {
    let error = hidden::run(Process::new().unwrap()).blocking().unwrap_err();
    println!("{error:?}");
    let worker = jobs::shown::run(Process::new().unwrap()).blocking();
    assert!(worker.unwrap().wait().unwrap().success());
    println!("{:?}", Process::early().unwrap_err());
}
"#;

const LIBRARY: &str = r#"
//! A crate that is linked as a shared library, with anyfork.

/// Registered beside anyfork.
#[anyfork::worker]
pub fn shown() {}
"#;

#[test]
fn a_worker_behind_it() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("border");
    let anyfork = here.join("../anyfork");
    let anyfork = format!(
        "anyfork = {{ path = \"{}\", default-features = false }}",
        anyfork.display()
    );
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "Cargo.toml",
        &format!(
            "[package]\nname = \"border\"\nedition = \"2024\"\n[dependencies]\n{anyfork}\n\
             jobs = {{ path = \"jobs\" }}\n[profile.dev]\ndebug = false\n[workspace]\n"
        ),
    );
    write("src/main.rs", PROGRAM);
    write(
        "jobs/Cargo.toml",
        &format!(
            "[package]\nname = \"jobs\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"dylib\"]\n\
             [dependencies]\n{anyfork}\n"
        ),
    );
    write("jobs/src/lib.rs", LIBRARY);
    fs::copy(here.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--offline", "--manifest-path"]);
    build.arg(folder.join("Cargo.toml"));
    build.arg("--target-dir").arg(folder.join("target"));
    // Both have one std, a library, too. And a target would lead elsewhere.
    build.env("RUSTFLAGS", "-C prefer-dynamic -C rpath");
    build.env_remove("CARGO_ENCODED_RUSTFLAGS");
    build.env_remove("CARGO_BUILD_TARGET");
    let output = build.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");

    let text = succeed(&mut Command::new(folder.join("target/debug/border")));
    let lines: Vec<_> = text.lines().collect();
    let [unknown, early] = lines[..] else {
        panic!("{text}");
    };
    assert!(unknown.starts_with("UnknownWorker: no worker"), "{text}");
    let found = [
        "libjobs.so`, and finds only what is registered there",
        "as `rlib`",
    ];
    assert!(found.iter().all(|it| unknown.contains(it)), "{text}");
    assert!(
        early.contains("nothing in this program is annotated"),
        "{text}"
    );
}
