//! The guide's page of mistakes quotes messages as they are: the compiler's are in
//! `ui/fail`, those of a build without features in `builds`, and the others are provoked
//! here.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;

use anyfork::{Command, Error, Launch, Pool, Process, Resource, Target, Worker};
use anyfork_tests::{bounded, rights};

#[anyfork::worker]
fn greet(_name: String) {}

#[anyfork::worker]
fn repeat(_times: u32) {}

#[anyfork::worker]
fn accept(_listener: TcpListener) {}

#[anyfork::init]
fn load() {}

#[anyfork::init]
fn start_thread() {
    thread::spawn(|| {
        loop {
            thread::park();
        }
    });
}

#[anyfork::init]
fn forbid() -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::EPERM))
}

/// Leaves a process nothing but its exit.
#[anyfork::init]
fn confine() -> io::Result<()> {
    rights::confine_to(&[libc::SYS_exit_group])
}

/// Asks a template that has not the descriptors of a request.
fn few_descriptors() -> Launch<Worker> {
    let template = new().rlimit(Resource::NOFILE, 8, 8);
    template.fork().run("greet")
}

#[anyfork::call]
fn fail() {
    panic!("a panic of this test");
}

fn new() -> Process {
    Process::new().unwrap()
}

fn error<T: Target>(launch: Launch<T>) -> Error {
    match bounded("a launch", || launch.blocking()) {
        Ok(_) => panic!("no mistake"),
        Err(error) => error,
    }
}

/// What a program says that makes the mistakes of the page.
fn said() -> Vec<Error> {
    let (end, wait) = mpsc::channel::<()>();
    let other = thread::spawn(move || wait.recv());
    let snapshot = Process::snapshot().unwrap_err();
    drop(end);
    assert!(other.join().unwrap().is_err());
    let awaited = pin!(greet::run(new(), "Ada".into()).into_future());
    let awaited = match awaited.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => error,
        _ => panic!("it needs a runtime"),
    };
    let file: OwnedFd = File::open("/dev/null").unwrap().into();
    vec![
        error(new().run("gret")),
        error(new().run("fail")),
        error(new().run("load")),
        error(new().run("greet")),
        error(new().send_arg("Ada").send_arg(1).run("greet")),
        error(new().send_arg("x").run("repeat")),
        error(new().send_fd(file).run("accept")),
        snapshot,
        error(start_thread::init(new()).fork().run("greet")),
        awaited,
        fail::call(&Pool::new().unwrap()).blocking().unwrap_err(),
        error(Command::new("no-such-program").spawn()),
        error(new().run("jobs::resize")),
        error(forbid::init(new()).run("greet")),
        error(few_descriptors()),
        error(confine::init(new()).fork().run("greet")),
    ]
}

/// The second cells of the page's rows.
fn quoted() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyfork/docs/mistakes.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let cells = rows.map(|row| {
        row.replace("\\|", "")
            .split(" | ")
            .nth(1)
            .map(str::to_owned)
    });
    let cells = cells.map(|cell| cell.expect("a second cell"));
    cells.filter(|cell| cell != "it says").collect()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

/// Whether a text has all parts of a quotation, which `…` separates.
fn has(text: &str, quotation: &str) -> bool {
    let plain = |text: &str| text.replace('`', "");
    let (text, quotation) = (plain(text), plain(quotation));
    let mut rest = &text[..];
    quotation.split('…').all(|part| {
        let found = rest.split_once(part);
        found.inspect(|(_, after)| rest = after).is_some()
    })
}

#[test]
fn the_page_quotes_what_is_said() {
    let ours: Vec<String> = said().iter().map(Error::to_string).collect();
    let mut texts = ours.clone();
    let compiler = files("ui/fail").into_iter().filter(|file| {
        let extension = file.extension();
        extension.is_some_and(|it| it == "stderr")
    });
    let built = Path::new("builds/missing_feature_is_named.rs");
    let built = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(built);
    for file in compiler.chain([built]) {
        let text = fs::read_to_string(file).unwrap();
        texts.extend(text.lines().map(str::to_owned));
    }
    let quoted = quoted();
    assert!(quoted.len() >= 30, "{quoted:?}");
    for quotation in &quoted {
        let is_said = texts.iter().any(|text| has(text, quotation));
        assert!(is_said, "nobody says {quotation}");
    }
    for text in &ours {
        let is_quoted = quoted.iter().any(|quotation| has(text, quotation));
        assert!(is_quoted, "the page does not have {text:?}");
    }
}
