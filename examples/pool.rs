//! Reads all files of a folder on all CPUs, each in a call to a pool of processes. A file
//! that crashes its process is reported, and the other calls go on.
//!
//! `cargo run --example pool -- examples`
//!
//! It shows a progress bar, and prints a line like `examples/hello.rs: 3` for each file,
//! and `bad.json: … signal: 11 (SIGSEGV) …` for a file whose brackets are nested so deep
//! that the stack overflows.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyfork::Pool;
use indicatif::ProgressBar;

/// How deep the brackets of a file are nested. A file of a million opening ones
/// overflows the stack, as it would in many a parser.
#[anyfork::call]
fn depth(path: PathBuf) -> io::Result<usize> {
    fn deepest(bytes: &mut std::vec::IntoIter<u8>) -> usize {
        let mut depth = 0;
        while let Some(byte) = bytes.next() {
            match byte {
                b'(' | b'[' | b'{' => depth = depth.max(1 + deepest(bytes)),
                b')' | b']' | b'}' => break,
                _ => {}
            }
        }
        depth
    }
    Ok(deepest(&mut fs::read(path)?.into_iter()))
}

/// All files of a folder and of those in it.
fn files(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => files(&entry.path(), into)?,
            false => into.push(entry.path()),
        }
    }
    Ok(())
}

#[anyfork::early] // the template is forked before main, before any thread exists
fn main() -> anyfork::Result<()> {
    let folder = env::args_os().nth(1).unwrap_or_else(|| "examples".into());
    let mut paths = Vec::new();
    files(folder.as_ref(), &mut paths)?;
    paths.sort();

    let pool = Pool::new()?; // as many processes as there are CPUs
    let bar = ProgressBar::new(paths.len() as u64);
    let calls: Vec<_> = paths
        .iter()
        .map(|it| depth::call(&pool, it.clone()))
        .collect();
    let mut failed = 0;
    for (path, call) in paths.iter().zip(calls) {
        let line = match call.blocking() {
            Ok(Ok(depth)) => depth.to_string(),
            Ok(Err(error)) => error.to_string(), // what the function has returned
            Err(error) => {
                failed += 1;
                error.to_string() // what has become of its process
            }
        };
        bar.suspend(|| println!("{}: {line}", path.display()));
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("{} files, {failed} have crashed a process", paths.len());
    Ok(())
}
