//! A program that is built for coverage counts in its workers, too: each process writes
//! a file of its own, with what it has run itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyfork_tests::births::{Folder, succeed};
use anyfork_tests::until;

use crate::Package;

const PACKAGE: Package = Package {
    name: "covered",
    source: "tests/builds/covered.rs",
    profile: "",
};

/// The files of counters, by the pid in their names, with the loops that they count.
fn counted(folder: &Path) -> BTreeMap<u32, Vec<u64>> {
    let files = fs::read_dir(folder).unwrap().map(|file| {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let numbers: Vec<_> = bytes
            .chunks_exact(8)
            .map(|it| it.try_into().unwrap())
            .collect();
        // A loop's head is counted, which runs once more.
        let has = |times: &u64| numbers.contains(&(times + 1).to_ne_bytes());
        let loops = (1..=6).map(|number| number * 111_111).filter(has).collect();
        let pid = path.file_stem().unwrap().to_str().unwrap();
        (pid.parse().unwrap(), loops)
    });
    files.collect()
}

/// The program; `None` if it cannot be built here.
fn build() -> Option<PathBuf> {
    // One after the other.
    static BUILT: Mutex<()> = Mutex::new(());
    let _built = BUILT.lock().unwrap();
    let (output, target) = PACKAGE.build(|build| {
        build.env("RUSTFLAGS", "-C instrument-coverage");
        build.env_remove("CARGO_ENCODED_RUSTFLAGS");
        build.env_remove("CARGO_BUILD_TARGET");
    });
    let (status, text) = (output.status, String::from_utf8_lossy(&output.stderr));
    if !status.success() && text.contains("can't find crate for `profiler_builtins`") {
        eprintln!("skipped: this tool chain has no profile runtime");
        return None;
    }
    assert!(status.success(), "{text}");
    Some(target.join("debug/covered"))
}

#[test]
fn each_process_writes_what_it_has_run() {
    let Some(program) = build() else { return };
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "counters");
    let mut program = Command::new(program);
    program.env("LLVM_PROFILE_FILE", folder.join("%p.profraw"));
    let text = succeed(program.current_dir(&*folder));
    let lines = text.lines().filter(|line| !line.starts_with("anyfork"));
    let told: Vec<Vec<_>> = lines.map(|line| line.split(' ').collect()).collect();
    let told = told.iter().filter_map(|line| match line[..] {
        [_, times, pid] => Some((pid.parse().ok()?, vec![times.parse().ok()?])),
        _ => None,
    });
    let expected: BTreeMap<u32, Vec<u64>> = told.collect();
    assert_eq!(expected.len(), 5, "{text}");
    // The template exits some time after the program. What was forked from it has not
    // counted again what it had counted.
    until("the template has written", || {
        counted(&folder).values().any(|loops| *loops == [111_111])
    });
    let mut counted = counted(&folder);
    counted.retain(|pid, _| expected.contains_key(pid));
    assert_eq!(counted, expected, "{text}");
}

/// Without a name from the environment, too, each process has a file of its own. Templates
/// work in another directory, and write where the program began all the same.
#[test]
fn without_a_name_it_does_too() {
    let Some(program) = build() else { return };
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "nameless");
    let mut program = Command::new(program);
    program.env_remove("LLVM_PROFILE_FILE");
    succeed(program.current_dir(&*folder));
    // Of the program, its four workers and two templates.
    until("all have written", || {
        let files = fs::read_dir(&*folder).unwrap();
        files
            .filter(|file| {
                file.as_ref()
                    .unwrap()
                    .metadata()
                    .is_ok_and(|it| it.len() > 0)
            })
            .count()
            == 7
    });
}
