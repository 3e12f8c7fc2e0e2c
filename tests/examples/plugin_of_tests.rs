//! A plugin, whose functions the test has run in processes of its own.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use anyfork::{Args, Process, take_args};

anyfork::export_plugin!();

static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[anyfork::init]
fn plugin_note(text: String) -> Result<(), String> {
    match text.as_str() {
        "fail" => Err("the plugin's disk is full".into()),
        "panic" => panic!("the plugin's disk is full"),
        _ => {
            NOTES.lock().expect("no panic").push(text);
            Ok(())
        }
    }
}

/// Here, too: the program runs it in every child.
#[anyfork::after_fork]
fn plugin_hook() {
    let mut notes = NOTES.lock().expect("no panic");
    assert!(notes.last().is_none_or(|last| last != "break"));
    notes.push("hook".to_owned());
}

#[anyfork::init]
fn plugin_take() -> Result<(), String> {
    let taken = take_args().len();
    plugin_note(format!("{taken} taken"))
}

/// Tells the notes, and all that it got.
#[anyfork::worker]
fn plugin_tell(mut socket: UnixStream, file: File, number: u32, rest: Args) -> io::Result<()> {
    let notes = NOTES.lock().expect("no panic").join(",");
    let text = io::read_to_string(file)?;
    write!(socket, "{notes} {text} {number} {}", rest.len())
}

#[anyfork::worker]
fn plugin_end(_socket: UnixStream, how: String) -> ExitCode {
    match how.parse::<u8>() {
        Ok(code) => ExitCode::from(code),
        Err(_) => panic!("a test's panic in a plugin"),
    }
}

#[anyfork::worker(flavor = "multi_thread", worker_threads = 2)]
async fn plugin_async(mut socket: tokio::net::UnixStream, text: String) -> io::Result<()> {
    let text = tokio::spawn(async move { text.to_uppercase() }).await?;
    tokio::io::AsyncWriteExt::write_all(&mut socket, text.as_bytes()).await
}

/// Stays until the caller closes the socket.
#[anyfork::worker]
fn plugin_hold(mut socket: UnixStream) -> io::Result<()> {
    socket.write_all(b"!")?;
    io::copy(&mut socket, &mut io::sink())?;
    Ok(())
}

/// Starts a worker of the program that has loaded this library.
#[anyfork::worker]
fn plugin_starts_more(mut socket: UnixStream) -> anyfork::Result<()> {
    let mut worker = Process::new()?.run("hold").blocking()?;
    worker.socket.read_exact(&mut [0])?;
    write!(socket, "{}", worker.pid())?;
    drop(worker.socket);
    assert!(worker.child.wait()?.success());
    Ok(())
}

/// Has a template kept, in the memory of what is forked from this process.
#[anyfork::init]
fn plugin_starts_some() -> anyfork::Result<()> {
    let mut worker = Process::new()?.run("hold").blocking()?;
    Ok(worker.socket.read_exact(&mut [0])?)
}

/// The program has one of this name, too.
#[anyfork::worker]
fn same_name() {}

#[anyfork::call(name = "plugin: join")]
fn join(texts: Vec<String>, bytes: Vec<u8>, file: File) -> io::Result<(String, Vec<u8>, OwnedFd)> {
    Ok((format!("plugin {}", texts.join(" ")), bytes, file.into()))
}

#[anyfork::call(name = "plugin: end")]
fn end(how: String) -> u32 {
    extern "C" fn cannot_unwind() {
        panic!("in a plugin's C");
    }
    match how.as_str() {
        "panic" => panic!("in a plugin"),
        "abort" => cannot_unwind(),
        "exit" => std::process::exit(4),
        _ => {}
    }
    7
}

#[anyfork::call(name = "plugin: changed")]
fn changed(number: u32) -> u64 {
    number.into()
}

#[anyfork::call]
async fn plugin_own(text: String, bytes: Vec<u8>) -> (String, Vec<u8>) {
    tokio::task::yield_now().await;
    (format!("own {text}"), bytes)
}

/// Calls this library's functions in further processes.
#[anyfork::worker]
fn plugin_calls_its_own(mut socket: UnixStream, path: PathBuf) -> anyfork::Result<()> {
    let process = Process::new()?.require(&path);
    let (text, bytes) = plugin_own::call(process, "x".into(), vec![0, 1, 2]).blocking()?;
    Ok(write!(socket, "{text} {} {bytes:?}", bytes.len())?)
}
