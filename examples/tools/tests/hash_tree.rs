//! `sha256sum --check` accepts the digests, and a file that cannot be read costs one line.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn hash_tree(folder: &Path) -> Output {
    Command::new(support::example("hash_tree"))
        .arg(folder)
        .output()
        .expect("run the example")
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("b/deeper")).expect("make a folder");
    for number in 0..100 {
        let path =
            folder.join(["a", "b/c", "b/deeper/d"][number % 3].to_owned() + &number.to_string());
        fs::write(path, vec![number as u8; number * 1000]).expect("write a file");
    }
    folder
}

#[test]
fn sha256sum_finds_the_same() {
    let folder = folder("hash_tree");
    let output = hash_tree(&folder);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let lines = output.stdout.split(|byte| *byte == b'\n').count() - 1;
    assert_eq!(lines, 100);

    let mut check = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("coreutils are installed");
    let mut stdin = check.stdin.take().expect("its stdin is piped");
    stdin.write_all(&output.stdout).expect("sha256sum reads");
    drop(stdin);
    assert!(check.wait().expect("wait for sha256sum").success());
}

#[test]
fn what_cannot_be_read_costs_a_line() {
    let folder = folder("hash_tree_fails");
    for (path, reason) in [
        (folder.join("missing"), "No such file or directory"),
        // Nobody can read it from its beginning, not even root.
        (PathBuf::from("/proc/self/mem"), "Input/output error"),
    ] {
        let output = hash_tree(&path);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let stderr = String::from_utf8(output.stderr).expect("text");
        let path = path.display().to_string();
        assert!(stderr.contains(&path), "{stderr}");
        assert!(stderr.contains(reason), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}
