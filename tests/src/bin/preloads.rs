//! A program with two preload functions, and code that runs before both. What
//! each of them does is up to the environment.

use std::env;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use anyfork::Process;

static LOADED: Mutex<Vec<&str>> = Mutex::new(Vec::new());
static MAIN_BEGAN: AtomicBool = AtomicBool::new(false);

/// As C++ libraries have them. 50 comes before the template's 100.
#[used]
#[unsafe(link_section = ".init_array.00050")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    match env::var("BEFORE_MAIN").as_deref() {
        Ok("thread") => drop(thread::spawn(|| loop_forever())),
        Ok("text") => print_twice(c"before in C; ", "before in Rust; "),
        _ => {}
    }
}

/// As the crates `ctor`, `inventory` and `typetag` have one for each thing that is
/// registered, and C++ for each global object: after the template's.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

static CONSTRUCTED: AtomicU32 = AtomicU32::new(0);

extern "C" fn construct() {
    CONSTRUCTED.fetch_add(1, Ordering::Relaxed);
    if env::var("CONSTRUCTOR").as_deref() == Ok("thread") {
        drop(thread::spawn(|| loop_forever()));
    }
}

fn loop_forever() -> ! {
    loop {
        thread::park();
    }
}

/// Text without an end of line, which stays in the buffers of both libraries.
fn print_twice(c: &std::ffi::CStr, rust: &str) {
    print!("{rust}");
    // SAFETY: a format without directives.
    unsafe { libc::printf(c.as_ptr()) };
}

#[anyfork::early]
fn first() {
    assert_eq!(CONSTRUCTED.load(Ordering::Relaxed), 1);
    LOADED.lock().expect("one thread").push("first");
    print_twice(c"preload in C; ", "preload in Rust; ");
    match env::var("PRELOAD").as_deref() {
        Ok("panic") => panic!("a test's panic"),
        Ok("exit") => std::process::exit(3),
        Ok("thread") => drop(thread::spawn(|| loop_forever())),
        _ => {}
    }
}

#[anyfork::early]
fn second() -> Result<ExitCode, String> {
    LOADED.lock().expect("one thread").push("second");
    match env::var("PRELOAD").as_deref() {
        Ok("error") => Err("the model is missing".into()),
        Ok("code") => Ok(ExitCode::from(3)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Tells what it finds, and leaves text in the buffers.
#[anyfork::worker]
fn look(mut socket: UnixStream) -> io::Result<()> {
    let loaded = LOADED.lock().expect("one thread");
    let began = MAIN_BEGAN.load(Ordering::Relaxed);
    print_twice(c"worker in C; ", "worker in Rust; ");
    let constructed = CONSTRUCTED.load(Ordering::Relaxed);
    write!(
        socket,
        "{loaded:?}, main began: {began}, constructed: {constructed}"
    )
}

/// Prints what three workers found, or why there are none.
fn main() {
    MAIN_BEGAN.store(true, Ordering::Relaxed);
    println!("early: {:?}", Process::early().err());
    for _ in 0..3 {
        println!("{}", worker().unwrap_or_else(|error| format!("{error:?}")));
    }
}

fn worker() -> anyfork::Result<String> {
    let mut worker = Process::new()?.run("look").blocking()?;
    let found = io::read_to_string(&mut worker.socket)?;
    assert!(worker.wait()?.success());
    Ok(found)
}
