//! A companion starts the function that it stands beside, whoever else has one of the
//! same path: another crate, another version of one, another function with a function
//! of that name inside. Who asks by the name is told.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use anyfork::{Args, ErrorKind, Launch, Process, Worker};
use anyfork_tests::text_of;

#[anyfork::early]
fn preload() {}

/// Two libraries that chose one name; two versions of one library have one path for
/// every worker.
mod one {
    use super::*;

    #[anyfork::worker(name = "lib::resize")]
    pub fn resize(mut socket: UnixStream, _rest: Args) -> std::io::Result<()> {
        socket.write_all(b"one")
    }

    #[anyfork::init(name = "lib::load")]
    pub fn load() {
        LOADED.lock().unwrap().push("one");
    }
}

mod two {
    use super::*;

    #[anyfork::worker(name = "lib::resize")]
    pub fn resize(mut socket: UnixStream, _rest: Args) -> std::io::Result<()> {
        socket.write_all(b"two")
    }

    #[anyfork::init(name = "lib::load")]
    pub fn load() {
        LOADED.lock().unwrap().push("two");
    }
}

static LOADED: Mutex<Vec<&str>> = Mutex::new(Vec::new());

#[anyfork::worker]
fn loaded(mut socket: UnixStream) -> std::io::Result<()> {
    write!(socket, "{}", LOADED.lock().unwrap().join(" "))
}

/// Functions inside functions have the path of one beside them.
fn first(process: Process) -> Launch<Worker> {
    #[anyfork::worker]
    fn inner(mut socket: UnixStream) -> std::io::Result<()> {
        socket.write_all(b"first")
    }
    inner::run(process)
}

fn second(process: Process) -> Launch<Worker> {
    #[anyfork::worker]
    fn inner(mut socket: UnixStream) -> std::io::Result<()> {
        socket.write_all(b"second")
    }
    inner::run(process)
}

/// As often as the macro is used: of one path, in one line.
macro_rules! in_one_line {
    ($($text:literal)*) => {
        [$({
            #[anyfork::worker]
            fn in_line(mut socket: UnixStream) -> std::io::Result<()> {
                socket.write_all($text)
            }
            |process| in_line::run(process)
        }),*]
    };
}

fn templates() -> [fn() -> Process; 4] {
    [
        || Process::early().unwrap(),
        || Process::new_exec().unwrap(),
        || Process::new().unwrap().keep_warm(1).fork(),
        // The way of all but the simplest requests.
        || Process::new().unwrap().env("A", "1"),
    ]
}

#[test]
fn each_starts_its_own_worker() {
    assert_eq!(
        (one::resize::NAME, two::resize::NAME),
        ("lib::resize", "lib::resize")
    );
    for process in templates() {
        assert_eq!(text_of(one::resize::run(process(), Args::new())), "one");
        assert_eq!(text_of(two::resize::run(process(), Args::new())), "two");
        assert_eq!(text_of(first(process())), "first");
        assert_eq!(text_of(second(process())), "second");
    }
    let several: [fn(Process) -> Launch<Worker>; 3] = in_one_line!(b"a" b"b" b"c");
    let several = several.map(|run| text_of(run(Process::new().unwrap())));
    assert_eq!(several, ["a", "b", "c"]);
}

#[test]
fn each_adds_its_own_init_function() {
    for process in templates() {
        let prepared = two::load::init(one::load::init(process()));
        assert_eq!(text_of(loaded::run(prepared)), "one two");
        let forked = two::load::init(process()).fork();
        assert_eq!(text_of(loaded::run(forked)), "two");
    }
}

#[test]
fn who_asks_by_the_name_is_told_that_it_is_two() {
    for (name, process) in ["lib::resize", "resize"].into_iter().zip(templates()) {
        let error = process().run(name).blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AmbiguousName);
        let text = "two workers are registered as `lib::resize`: give one another `name`";
        assert_eq!(error.to_string(), text);
    }
    let process = Process::new().unwrap().init("lib::load", ());
    let error = process.run(loaded::NAME).blocking().unwrap_err();
    let text = "two init functions are registered as `lib::load`: give one another `name`";
    assert_eq!(error.to_string(), text);
}

/// What a caller writes into a name chooses no function.
#[test]
fn a_name_with_a_nul_is_a_name() {
    for name in ["lib::resize\0", "lib::resize\x000000000000000000", "\0"] {
        let error = Process::new().unwrap().run(name).blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownWorker, "{error}");
    }
}

/// A program that has another function of that name, and only one: the name counts.
#[test]
fn another_program_is_asked_by_the_name() {
    #[anyfork::worker(name = "async_main::greet")]
    fn greet(_socket: UnixStream, name: String) {
        unreachable!("here, for {name}");
    }
    let process = Process::exec_program(env!("CARGO_BIN_EXE_async_main")).unwrap();
    assert_eq!(text_of(greet::run(process, "you".into())), "hello you");
}
