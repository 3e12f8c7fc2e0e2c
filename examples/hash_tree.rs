//! Computes the SHA-256 of each file in a folder and its subfolders, on all CPUs. It calls
//! a function for many items (`map`), and the results come in the order of the items.
//!
//! `cargo run --release --example hash_tree -- examples | sha256sum --check`
//!
//! It prints what `sha256sum` prints: a line with the digest and the path of each file.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, io};

use anyfork::Pool;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

#[anyfork::call]
fn sha256(path: PathBuf) -> io::Result<String> {
    let mut sum = Sha256::new();
    io::copy(&mut File::open(path)?, &mut sum)?;
    let mut text = String::new();
    for byte in sum.finalize() {
        write!(text, "{byte:02x}").expect("a string has room");
    }
    Ok(text)
}

#[anyfork::early] // the template is forked before main, before any thread exists
fn main() -> anyfork::Result<ExitCode> {
    let folder = env::args_os().nth(1).unwrap_or_else(|| "examples".into());
    let has_failed = Cell::new(false);
    let report = |line: String| {
        eprintln!("{line}");
        has_failed.set(true);
    };
    let walk = WalkDir::new(folder).sort_by_file_name().into_iter();
    let found = walk.filter_map(|entry| match entry {
        Ok(entry) => entry.file_type().is_file().then(|| entry.into_path()),
        Err(error) => {
            report(error.to_string());
            None
        }
    });
    // The folder is walked no faster than its files are read.
    let names = RefCell::new(VecDeque::new());
    let files = found.inspect(|path| names.borrow_mut().push_back(path.clone()));

    for sum in sha256::map(&Pool::new()?, files).chunk(8).blocking() {
        let name = names.borrow_mut().pop_front();
        let name = name.expect("a result has an item");
        match sum {
            Ok(Ok(sum)) => println!("{sum}  {}", name.display()),
            Ok(Err(error)) => report(format!("{}: {error}", name.display())),
            Err(error) => report(format!("{}: {error}", name.display())), // its process died
        }
    }
    Ok(ExitCode::from(u8::from(has_failed.get())))
}
