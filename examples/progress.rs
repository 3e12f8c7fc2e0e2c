//! Compresses files, each in a call that reports its progress, with one progress bar for
//! each call. Ctrl-C cancels all calls, and leaves no incomplete file behind.
//!
//! `cargo run --release --example progress -- FILE…`
//!
//! It shows the bars, and prints `FILE.gz: 1048576 bytes are 40213` for each file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyfork::{Pool, Sender};
use flate2::{Compression, write::GzEncoder};
use indicatif::{MultiProgress, ProgressBar};

/// Writes `into`, and sends the number of bytes that it has read, now and then.
#[anyfork::call]
fn compress(from: PathBuf, into: PathBuf, progress: Sender<u64>) -> io::Result<u64> {
    let mut from = File::open(from)?;
    let mut into = GzEncoder::new(File::create(into)?, Compression::default());
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        let len = from.read(&mut buffer)?;
        if len == 0 {
            return into.finish()?.metadata().map(|it| it.len());
        }
        into.write_all(&buffer[..len])?;
        total += len as u64;
        // A bar that is behind misses a step: the work does not wait for it.
        let _ = progress.try_send(total);
    }
}

/// Compresses one file, and gives the line that tells how.
async fn run(pool: &Pool, path: &Path, bar: &ProgressBar) -> io::Result<String> {
    let len = fs::metadata(path)?.len();
    bar.set_length(len);
    let (part, whole) = (with(path, ".gz.part"), with(path, ".gz"));
    let mut call = compress::call(pool, path.into(), part.clone());
    while let Some(position) = call.recv().await {
        bar.set_position(position);
    }
    let compressed = call.await??; // of the process; of the function
    fs::rename(part, &whole)?;
    Ok(format!("{}: {len} bytes are {compressed}", whole.display()))
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

#[anyfork::early] // the template is forked before main, before tokio's threads
#[tokio::main]
async fn main() -> anyfork::Result<ExitCode> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (pool, bars) = (Pool::new()?, MultiProgress::new());
    let all = paths.iter().map(async |path| {
        let bar = bars.add(ProgressBar::new(0));
        let line = run(&pool, path, &bar).await;
        let line = line.unwrap_or_else(|error| format!("{}: {error}", path.display()));
        bars.suspend(|| println!("{line}"));
    });
    let is_cancelled = tokio::select! {
        biased; // Ctrl-C is listened to before anything starts
        _ = tokio::signal::ctrl_c() => true, // the calls are dropped, which ends them
        _ = futures_util::future::join_all(all) => false,
    };
    pool.shutdown(Duration::ZERO).await?; // no process writes any more
    for part in paths.iter().map(|path| with(path, ".gz.part")) {
        let _ = fs::remove_file(part);
    }
    Ok(ExitCode::from(if is_cancelled { 130 } else { 0 }))
}
