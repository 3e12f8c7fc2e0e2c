//! The rooms of the library keep their walls: arrows run one way, no file leads
//! back to itself, tokio stays with the caller, and `unsafe` inside `sys`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every room of the library, and the other rooms that it may name. `caller` and
/// `template` meet in `protocol`.
const ROOMS: [(&str, &[&str]); 20] = [
    ("sys", &[]),
    ("failure", &["sys"]),
    ("resource", &[]),
    ("map", &[]),
    ("guide", &[]),
    ("exit", &["failure"]),
    ("error", &["exit", "failure", "sys"]),
    ("args", &["error", "sys"]),
    ("spec", &["args", "sys"]),
    ("protocol", &["args", "error", "exit", "failure", "spec"]),
    ("value", &["args", "failure"]),
    ("entry", &["args", "error", "value"]),
    ("registry", &["args", "entry", "error", "sys"]),
    ("early", &["error", "sys"]),
    ("child", &BELOW_CHILD),
    ("caller", &BELOW_CHILD),
    (
        "template",
        &[
            "args", "child", "early", "error", "protocol", "resource", "sys",
        ],
    ),
    (
        "boot",
        &[
            "args", "child", "early", "error", "protocol", "registry", "sys", "template",
        ],
    ),
    ("snapshot", &["boot", "caller", "error"]),
    (
        "pool",
        &[
            "args", "caller", "error", "exit", "failure", "protocol", "registry", "spec", "sys",
            "value",
        ],
    ),
];

/// What `child` and `caller` stand on.
const BELOW_CHILD: [&str; 12] = [
    "args", "early", "entry", "error", "exit", "failure", "protocol", "registry", "resource",
    "spec", "sys", "value",
];

/// The processes of the second line of a file.
const PROCESSES: [&str; 7] = [
    "caller",
    "program before main",
    "template",
    "child",
    "spare",
    "monitor",
    "any",
];

/// Maximum number of lines of a file.
const MAX_LINES: usize = 400;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyfork/src")
}

/// The files of a room, or of all.
fn files(room: Option<&str>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![sources()];
    if let Some(room) = room {
        files.push(sources().join(format!("{room}.rs")));
        folders = vec![sources().join(room)];
        folders.retain(|folder| folder.is_dir());
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
fn tokio_stays_with_the_caller() {
    let may = [
        "caller",
        "args/tokio.rs",
        "entry/asynchronous",
        "entry/asynchronous.rs",
    ];
    let mut files = files(None);
    files.retain(|file| !may.iter().any(|it| file.starts_with(sources().join(it))));
    for file in files {
        for (number, line) in code(&file) {
            // Neither a text nor the feature of that name.
            let outside_texts: String = line.split('"').step_by(2).collect();
            let module = outside_texts.ends_with("mod tokio;");
            let found = words(&outside_texts).any(|it| it == "tokio") && !module;
            assert!(!found, "tokio in {}:{number}: {line}", file.display());
        }
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
    let mut against = Vec::new();
    for (room, may_name) in ROOMS {
        let mut others: Vec<_> = ROOMS.iter().map(|(other, _)| *other).collect();
        others.retain(|other| *other != room && !may_name.contains(other));
        for file in files(Some(room)) {
            // As one line, so that lists over several lines are seen.
            let text = code_without_tests(&file);
            let named = others.iter().filter(|other| names(&text, other));
            against.extend(named.map(|other| format!("{} names `{other}`", module(&file))));
        }
    }
    assert!(against.is_empty(), "{against:#?}");
}

#[test]
fn every_file_belongs_to_a_room() {
    for file in files(None) {
        let module = module(&file);
        let room = module.split("::").next().unwrap();
        let known = room.is_empty() || ROOMS.iter().any(|(it, _)| *it == room);
        assert!(known, "`{room}` is a new room: add it to the table");
    }
}

#[test]
fn every_file_says_what_it_does_and_where_it_runs() {
    let mut files = files(None);
    // Its docs are the crate's.
    files.retain(|file| !module(file).is_empty());
    let wrong: Vec<_> = files.iter().filter(|file| !has_header(file)).collect();
    assert!(wrong.is_empty(), "no summary and `RUNS IN:` in {wrong:#?}");
}

/// Whether a file begins with a sentence, and the processes that run it.
fn has_header(file: &Path) -> bool {
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default();
    let (summary, runs_in, blank) = (next(), next(), next());
    // On the page of a public module it is hidden.
    let runs_in = runs_in.replace("<!-- ", "").replace(" -->", "");
    let processes = runs_in.strip_prefix("//! RUNS IN: ").unwrap_or_default();
    summary.starts_with("//! ")
        && summary.ends_with('.')
        && processes.split(", ").all(|it| PROCESSES.contains(&it))
        && matches!(blank, "//!" | "")
}

#[test]
fn no_file_is_too_long() {
    let len = |file: &PathBuf| fs::read_to_string(file).unwrap().lines().count();
    let mut files = files(None);
    files.retain(|file| len(file) > MAX_LINES);
    assert!(files.is_empty(), "above {MAX_LINES} lines: {files:#?}");
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

#[test]
fn no_file_leads_back_to_itself() {
    let files: BTreeMap<String, String> = files(None)
        .iter()
        .map(|file| (module(file), code_without_tests(file)))
        .collect();
    let circles = circles(&imports(&files));
    assert!(circles.is_empty(), "circles of files: {circles:#?}");
}

#[test]
fn a_circle_made_by_hand_is_found() {
    let mut files: BTreeMap<String, String> = [
        ("", "mod a; mod b; mod c; pub use crate::a::A;"),
        ("a", "use crate::b::{self, B}; use std::crate_like;"),
        ("b", "mod inner;"),
        ("b::inner", "use crate::{c::C, d};"),
        ("c", "fn f() { std::mem::drop(1) }"),
    ]
    .map(|(module, code)| (module.to_owned(), code.to_owned()))
    .into();
    assert_eq!(circles(&imports(&files)), Vec::<Vec<String>>::new());
    for (closes, circle) in [
        ("use crate::{c::D, a::A};", &["a", "b"][..]),
        ("fn g() { crate::a::f() }", &["a", "b"]),
        ("use crate::A;", &["", "a", "b"]),
    ] {
        files.insert("b".to_owned(), closes.to_owned());
        assert_eq!(circles(&imports(&files)), [circle], "{closes}");
    }
}

/// So that the imports of a file can be read off it.
#[test]
fn paths_begin_at_the_root() {
    let mut files = files(None);
    files.retain(|file| code_without_tests(file).contains("super::"));
    assert!(files.is_empty(), "`super::` in {files:#?}");
}

/// A file's path as the code names it, without `crate`: `a::b` of `a/b.rs`.
fn module(file: &Path) -> String {
    let path = file.strip_prefix(sources()).unwrap().with_extension("");
    let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
    match &parts[..] {
        ["lib"] => String::new(),
        parts => parts.join("::"),
    }
}

/// A file's code in one line, up to its tests.
fn code_without_tests(file: &Path) -> String {
    let lines = code(file).into_iter().map(|(_, line)| line);
    let lines: Vec<_> = lines.take_while(|line| line != "#[cfg(test)]").collect();
    lines.join(" ")
}

/// Which files each file names.
fn imports(files: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let of = |(module, code): (&String, &String)| {
        let mut named = BTreeSet::new();
        for (at, _) in code.match_indices("crate::") {
            // `$crate` is the user's line, and `my_crate` another crate.
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c == '$' || c == '_' || c.is_alphanumeric()) {
                targets("", &code[at + "crate::".len()..], files, &mut named);
            }
        }
        named.remove(module);
        (module.clone(), named)
    };
    files.iter().map(of).collect()
}

/// Adds the files that the path or list at the beginning of `text` names, below
/// the module `base`.
fn targets(base: &str, text: &str, files: &BTreeMap<String, String>, named: &mut BTreeSet<String>) {
    let join = |name: &str| match base {
        "" => name.to_owned(),
        base => format!("{base}::{name}"),
    };
    if let Some(list) = text.strip_prefix('{') {
        for element in elements(list) {
            targets(base, element, files, named);
        }
        return;
    }
    let name = words(text).next().unwrap_or_default();
    let below = join(name);
    match text[name.len()..].strip_prefix("::") {
        _ if name == "self" || !files.contains_key(&below) => drop(named.insert(base.to_owned())),
        Some(rest) => targets(&below, rest, files, named),
        None => drop(named.insert(below)),
    }
}

/// The elements of a list, which ends at its closing brace.
fn elements(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                found.push(list[start..at].trim());
                start = at + 1;
            }
            '}' if depth == 0 => {
                found.push(list[start..at].trim());
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    found.retain(|element| !element.is_empty());
    found
}

/// The strongly connected components of more than one file: each file of one
/// leads to each other.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached_from = |start: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(file) = next.pop() {
            let new = imports.get(file).into_iter().flatten();
            next.extend(new.filter(|file| seen.insert((*file).clone())));
        }
        seen
    };
    let reached: BTreeMap<_, _> = imports.keys().map(|it| (it, reached_from(it))).collect();
    let mut circles: Vec<Vec<String>> = Vec::new();
    for (file, seen) in &reached {
        if !seen.contains(*file) || circles.iter().flatten().any(|it| it == *file) {
            continue;
        }
        let with = seen.iter().filter(|it| reached[it].contains(*file));
        circles.push(with.cloned().collect());
    }
    circles
}
