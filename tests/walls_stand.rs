//! The rooms of the library keep their walls: arrows run one way, tokio stays
//! out of the template, and `unsafe` inside `sys`.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may not name whom: `caller` and `template` meet in `protocol`.
const WALLS: [(&str, &[&str]); 6] = [
    ("boot", &["caller"]),
    ("template", &["boot", "caller"]),
    ("child", &["boot", "caller"]),
    ("caller", &["boot", "child", "template"]),
    ("sys", &["boot", "caller", "child", "protocol", "template"]),
    ("protocol", &["boot", "caller", "child", "sys", "template"]),
];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyfork/src")
}

/// The files of a module, or of all.
fn files(module: Option<&str>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![sources()];
    if let Some(module) = module {
        files.push(sources().join(format!("{module}.rs")));
        folders = vec![sources().join(module)];
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    assert!(files.len() > 1, "{files:?}");
    files
}

/// A file's lines without comments, numbered.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned());
    (1..).zip(lines).collect()
}

/// The words of a line: identifiers and numbers.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn assert_free_of(word: &str, files: &[PathBuf]) {
    for file in files {
        for (number, line) in code(file) {
            let found = words(&line).any(|it| it == word);
            assert!(!found, "`{word}` in {}:{number}: {line}", file.display());
        }
    }
}

#[test]
fn tokio_stays_out_of_the_template() {
    for module in ["boot", "template", "child", "sys", "protocol"] {
        assert_free_of("tokio", &files(Some(module)));
    }
}

#[test]
fn unsafe_stays_in_sys() {
    let inside = files(Some("sys"));
    let mut outside = files(None);
    outside.retain(|file| !inside.contains(file));
    assert!(outside.len() > 20, "{outside:?}");
    assert_free_of("unsafe", &outside);
    let root = fs::read_to_string(sources().join("lib.rs")).unwrap();
    assert!(root.contains("#![deny(unsafe_code)]"));
    // Nobody lifts it but `sys`.
    for file in outside.iter().filter(|file| !file.ends_with("lib.rs")) {
        for (number, line) in code(file) {
            assert!(!line.contains("unsafe_code"), "{}:{number}", file.display());
        }
    }
}

#[test]
fn arrows_run_one_way() {
    for (module, others) in WALLS {
        for file in files(Some(module)) {
            // As one line, so that lists over several lines are seen.
            let text: String = code(&file)
                .into_iter()
                .flat_map(|(_, line)| [line, " ".into()])
                .collect();
            for other in others {
                assert!(!names(&text, other), "{} names `{other}`", file.display());
            }
        }
    }
}

/// Whether code has a path to the crate's module: `crate::other`, `crate::{…,
/// other…}`, or by way of `super`. A crate may have a module of that name, too.
fn names(text: &str, module: &str) -> bool {
    ["crate::", "super::"].iter().any(|root| {
        text.match_indices(root).any(|(at, _)| {
            let rest = &text[at + root.len()..];
            match rest.strip_prefix('{') {
                None => words(rest).next() == Some(module),
                Some(list) => in_list(list, module),
            }
        })
    })
}

/// Whether the list after a `{` has an element that begins with `module`.
fn in_list(list: &str, module: &str) -> bool {
    let mut depth = 0;
    let mut start = true;
    for (at, c) in list.char_indices() {
        if start && depth == 0 && !c.is_whitespace() {
            if words(&list[at..]).next() == Some(module) {
                return true;
            }
            start = false;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return false,
            '}' => depth -= 1,
            ',' => start = true,
            _ => {}
        }
    }
    false
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for text in [
        "use crate::caller::Launch;",
        "use crate::{error, caller::{self, Launch}};",
        "use crate::{ error::{Error, Result}, caller };",
        "super::super::caller::Origin::new()",
    ] {
        assert!(names(text, "caller"), "{text}");
    }
    for text in [
        "use std::caller;",
        "use crate::{error::{caller, Error}, exit};",
        "crate::callers::all()",
        "use std::{caller, io}; use crate::exit;",
    ] {
        assert!(!names(text, "caller"), "{text}");
    }
}
