//! A function with `#[anyfork::call]` runs in a process of its own, and its result comes
//! back, whatever it is; nothing of the process is left.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use anyfork::{ErrorKind, Failure, Fd, Process};
use anyfork_tests::{bounded, has_ended};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Order {
    number: u32,
    lines: Vec<(String, f64)>,
    notes: BTreeMap<String, Option<char>>,
}

type Pair = (Vec<u8>, u32);

#[anyfork::call]
fn whoami() -> u32 {
    std::process::id()
}

#[anyfork::call]
fn nothing() {}

#[anyfork::call]
fn everything(
    order: Order,
    bytes: Vec<u8>,
    text: String,
    path: PathBuf,
    name: OsString,
    pair: Pair,
    absent: Option<String>,
) -> (
    Order,
    Vec<u8>,
    String,
    PathBuf,
    OsString,
    Pair,
    Option<String>,
) {
    (order, bytes, text, path, name, pair, absent)
}

#[anyfork::call]
fn open(path: PathBuf) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

#[anyfork::call]
fn write_all(to: Vec<PipeWriter>, text: Option<String>) -> usize {
    for mut to in &to {
        to.write_all(text.as_deref().unwrap_or("none").as_bytes())
            .unwrap();
    }
    to.len()
}

#[derive(Serialize, Deserialize)]
struct Holder {
    name: String,
    file: Fd<OwnedFd>,
}

#[anyfork::call]
fn pass(holder: Holder, more: Vec<u32>) -> (Holder, Vec<u32>) {
    (holder, more)
}

#[anyfork::call]
fn fail(text: String) -> u8 {
    panic!("no {text}");
}

#[anyfork::call]
fn die() {
    std::process::abort();
}

#[anyfork::call]
fn leave() -> u8 {
    std::process::exit(3);
}

#[anyfork::call]
fn stay() {
    std::thread::park();
}

#[derive(Debug)]
struct Outer(io::Error);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("outer")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[anyfork::call(text_errors)]
fn boxed(fails: bool) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
    match fails {
        true => Err(Outer(io::Error::other("inner")).into()),
        false => Ok(7),
    }
}

#[anyfork::call(text_errors)]
fn typed() -> Result<(u8, String), Outer> {
    Err(Outer(io::Error::from_raw_os_error(libc::ENOENT)))
}

#[anyfork::call(name = "slow one")]
async fn asleep(socket: tokio::net::UnixStream) -> u8 {
    socket.readable().await.unwrap();
    let mut byte = [0];
    socket.try_read(&mut byte).unwrap();
    byte[0]
}

fn process() -> Process {
    Process::new().expect("a template")
}

#[test]
fn results_come_back_and_the_process_is_gone() {
    bounded("calls", || {
        let pid = whoami::call(process()).blocking().unwrap();
        assert_ne!(pid, std::process::id());
        assert!(has_ended(pid));
        nothing::call(process()).blocking().unwrap();
        assert!(nothing::NAME.ends_with("::nothing"));
    });
}

#[test]
fn values_of_all_kinds_cross() {
    let order = Order {
        number: 7,
        lines: vec![("bolt".into(), 0.25)],
        notes: [("a".to_owned(), Some('b')), ("c".to_owned(), None)].into(),
    };
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
    let pair = (bytes[..70_000].to_vec(), 5);
    let back = everything::call(
        process(),
        order.clone(),
        bytes.clone(),
        "é".repeat(40_000),
        "/a/b".into(),
        "x".into(),
        pair.clone(),
        None,
    );
    let back = bounded("a call", || back.blocking()).unwrap();
    assert_eq!(back.0, order);
    assert!(back.1 == bytes && back.2 == "é".repeat(40_000));
    assert_eq!((back.3, back.4), (PathBuf::from("/a/b"), "x".into()));
    assert!(back.5 == pair && back.6.is_none());
}

#[test]
fn descriptors_cross_both_ways() {
    let (mut file, len) = open::call(process(), "/proc/version".into())
        .blocking()
        .unwrap()
        .unwrap();
    assert_eq!(len, 0);
    file.read_to_string(&mut String::new()).unwrap();
    let error = open::call(process(), "/no/such".into()).blocking().unwrap();
    assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::ENOENT));

    let (mut reader, writer) = io::pipe().unwrap();
    let writers = (0..300).map(|_| writer.try_clone().unwrap()).collect();
    drop(writer);
    let call = write_all::call(process(), writers, None);
    let mut text = String::new();
    // The end comes when the worker has gone: nobody here holds a write end.
    bounded("the end of a pipe", || reader.read_to_string(&mut text)).unwrap();
    assert_eq!(text, "none".repeat(300));
    assert_eq!(call.blocking().unwrap(), 300);

    let holder = Holder {
        name: "n".into(),
        file: Fd(File::open("/dev/null").unwrap().into()),
    };
    let (holder, more) = pass::call(process(), holder, vec![1, 2])
        .blocking()
        .unwrap();
    assert_eq!((holder.name.as_str(), more), ("n", vec![1, 2]));
    let mut none = Vec::new();
    File::from(holder.file.0).read_to_end(&mut none).unwrap();
    assert!(none.is_empty());
}

#[test]
fn large_values_go_both_ways_at_once() {
    let bytes = vec![3; 64 << 20];
    let call = everything::call(
        process(),
        Order::default(),
        bytes,
        String::new(),
        PathBuf::new(),
        OsString::new(),
        (Vec::new(), 0),
        Some("x".into()),
    );
    let back = bounded("a call", || call.blocking()).unwrap();
    assert!(back.1 == vec![3; 64 << 20]);
}

#[test]
fn failures_say_what_happened() {
    let error = fail::call(process(), "luck".into()).blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    let failure = error.failure().unwrap();
    assert_eq!(failure.message(), "no luck");
    assert!(
        failure
            .location()
            .unwrap()
            .contains("functions_are_called.rs")
    );
    assert!(failure.backtrace().is_some());
    assert!(!error.never_entered());

    let error = die::call(process()).blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    assert_eq!(error.exit().unwrap().signal(), Some(libc::SIGABRT));
    assert!(error.to_string().contains("::die`"), "{error}");
    assert!(error.to_string().contains("SIGABRT"), "{error}");

    let error = leave::call(process()).blocking().unwrap_err();
    assert_eq!(error.exit().unwrap().code(), Some(3), "{error}");

    let late = stay::call(process()).timeout(Duration::from_millis(20));
    let error = late.blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");

    let error = stay::call(process().init("none", anyfork::args![]));
    let error = error.blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownWorker);
    assert!(error.never_entered());
}

#[test]
fn errors_cross_as_text() {
    assert_eq!(
        boxed::call(process(), false).blocking().unwrap().unwrap(),
        7
    );
    let failure: Failure = boxed::call(process(), true)
        .blocking()
        .unwrap()
        .unwrap_err();
    assert_eq!(failure.message(), "outer: inner");
    let failure = typed::call(process()).blocking().unwrap().unwrap_err();
    assert!(
        failure.message().starts_with("outer: No such file"),
        "{failure}"
    );
}

#[tokio::test]
async fn calls_are_awaited() {
    let (here, there) = tokio::net::UnixStream::pair().unwrap();
    let call = asleep::call(process(), there);
    assert_eq!(asleep::NAME, "slow one");
    here.try_write(b"y").unwrap();
    assert_eq!(call.await.unwrap(), b'y');

    let error = fail::call(process(), "luck".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    let error = die::call(process()).await.unwrap_err();
    assert_eq!(error.exit().unwrap().signal(), Some(libc::SIGABRT));
    let late = stay::call(process()).timeout(Duration::from_millis(20));
    assert_eq!(late.await.unwrap_err().kind(), ErrorKind::TimedOut);
}

/// Gives back what tokio has, in the runtime of its process.
#[anyfork::call]
async fn reconnect(socket: Option<tokio::net::UnixStream>) -> Option<tokio::net::UnixStream> {
    tokio::task::yield_now().await;
    socket
}

#[test]
fn tokios_types_arrive_in_the_callers_runtime() {
    let runtime = anyfork_tests::runtime();
    runtime.block_on(async {
        let (here, there) = tokio::net::UnixStream::pair().unwrap();
        let back = reconnect::call(process(), Some(there)).await.unwrap();
        here.try_write(b"z").unwrap();
        let back = back.unwrap();
        back.readable().await.unwrap();
        assert_eq!(back.try_read(&mut [0]).unwrap(), 1);
        // Outside of a runtime there is none to join.
        let call = reconnect::call(process(), Some(here));
        let error = std::thread::spawn(|| call.blocking()).join().unwrap();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::BadResult);
    });
}

#[test]
fn the_function_is_a_function_still() {
    assert_eq!(whoami(), std::process::id());
    let order = Order::default();
    let bytes = vec![1];
    let pair = (vec![2], 3);
    let path = PathBuf::from("/p");
    let all = everything(
        order.clone(),
        bytes.clone(),
        "t".into(),
        path.clone(),
        "n".into(),
        pair.clone(),
        None,
    );
    assert_eq!(
        all,
        (order, bytes, "t".into(), path, "n".into(), pair, None)
    );
    assert!(boxed(true).unwrap_err().to_string() == "outer");
    let runtime = anyfork_tests::runtime();
    assert!(runtime.block_on(reconnect(None)).is_none());
}
