//! What goes wrong before a worker is entered is an error of its own kind that
//! says what was tried, in bounded time; it leaves nothing behind, and the
//! template serves the next request.

use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use anyfork::{Arg, ArgError, Args, Error, ErrorKind, FromArg, IntoArg, Process, args};
use anyfork_tests::{Scene, alone, bounded, early_template, pipe_with, send_signal};
use sendfd::SendWithFd;

#[anyfork::early]
fn preload() {}

#[anyfork::worker]
fn resize(_socket: UnixStream, width: u8, title: Option<char>) {
    unreachable!("entered with {width} and {title:?}");
}

#[anyfork::worker]
fn accept(_socket: UnixStream, listener: TcpListener, name: String) {
    unreachable!("entered with {listener:?} and {name}");
}

mod first {
    #[anyfork::worker]
    fn twin() {}
}

mod second {
    #[anyfork::worker]
    fn twin() {}
}

/// An argument whose parsing is the end of its process.
struct Fatal;

impl IntoArg for Fatal {
    fn into_arg(self) -> Result<Arg, ArgError> {
        "panic".into_arg()
    }
}

impl FromArg for Fatal {
    fn from_arg(arg: Arg) -> Result<Fatal, ArgError> {
        match String::from_arg(arg)?.as_str() {
            "panic" => panic!("a test's panic"),
            "exit" => std::process::exit(7),
            signal => {
                let signal: i32 = signal.parse().map_err(ArgError::new)?;
                send_signal(std::process::id(), signal);
                Err(ArgError::new("still alive"))
            }
        }
    }
}

#[anyfork::worker]
fn doomed(_socket: UnixStream, _fatal: Fatal) {}

/// The launch's error, when all is as it should be around it.
fn refused(name: &str, args: impl FnOnce() -> Args) -> Error {
    let scene = Scene::early();
    let launch = Process::new().unwrap().send_args(args()).run(name);
    let error = bounded(name, || launch.blocking()).expect_err("a worker was entered");
    scene.must_return();
    assert_eq!(early_template(), scene.template());
    error
}

fn assert_refused(name: &str, args: impl FnOnce() -> Args, kind: ErrorKind, words: &[&str]) {
    let error = refused(name, args);
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} in {text:?}");
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// A file that no message may be about.
fn file() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

#[test]
fn an_unknown_name_gets_a_suggestion() {
    let _alone = alone();
    let words = [
        "no worker `resise`",
        "did you mean `errors_have_their_kind::resize`?",
    ];
    assert_refused("resise", Args::new, ErrorKind::UnknownWorker, &words);
    for name in ["", "::resize", "size", "xyzzy", "errors_have_their_kind"] {
        assert_refused(name, Args::new, ErrorKind::UnknownWorker, &[name]);
    }
}

#[test]
fn an_ambiguous_name_lists_what_it_fits() {
    let _alone = alone();
    let words = ["`twin`", "first::twin`", "second::twin`"];
    assert_refused("twin", Args::new, ErrorKind::AmbiguousName, &words);
    let mut worker = Process::new()
        .unwrap()
        .run("second::twin")
        .blocking()
        .unwrap();
    assert!(worker.wait().unwrap().success());
}

#[test]
fn an_argument_that_does_not_parse_is_named() {
    let _alone = alone();
    let worker = "errors_have_their_kind::resize";
    let words = [worker, "`width`", "u8", "\"300\"", "too large"];
    assert_refused("resize", || args![300], ErrorKind::BadArgument, &words);
    let words = [worker, "`title`", "Option<char>", "\"abc\""];
    assert_refused("resize", || args![1, "abc"], ErrorKind::BadArgument, &words);
    let words = [worker, "`width`", "\\xff\\x00", "2 bytes"];
    assert_refused("resize", || args![[255, 0]], ErrorKind::BadArgument, &words);
    // A long one is not shown whole.
    let error = refused("resize", || args!["7".repeat(1 << 20)]);
    assert!(error.to_string().len() < 500, "{error}");
}

#[test]
fn too_few_and_too_many_arguments_are_counted() {
    let _alone = alone();
    let words = ["resize`", "too few", "0", "`width`", "u8"];
    assert_refused("resize", Args::new, ErrorKind::BadArgument, &words);
    let words = ["resize`", "takes 2", "got 4"];
    assert_refused(
        "resize",
        || args![1, "a", 3, file()],
        ErrorKind::BadArgument,
        &words,
    );
    let words = ["accept`", "too few", "1", "`name`", "String"];
    assert_refused(
        "accept",
        || args![listener()],
        ErrorKind::BadArgument,
        &words,
    );
    let words = ["twin`", "takes 0", "got 1"];
    assert_refused("first::twin", || args![1], ErrorKind::BadArgument, &words);
}

#[test]
fn a_wrong_descriptor_is_refused() {
    let _alone = alone();
    let kind = ErrorKind::BadArgument;
    let words = [
        "accept`",
        "`listener`",
        "TcpListener",
        "listening TCP socket",
    ];
    let stream = || {
        TcpStream::connect(listener().local_addr().unwrap())
            .unwrap()
            .into()
    };
    let unix = || UnixStream::pair().unwrap().0.into();
    let wrong: [fn() -> OwnedFd; 4] = [file, || pipe_with(""), stream, unix];
    for wrong in wrong {
        assert_refused("accept", || args![wrong(), "n"], kind, &words);
    }
}

#[test]
fn bytes_are_no_descriptor_and_a_descriptor_is_no_bytes() {
    let _alone = alone();
    let kind = ErrorKind::BadArgument;
    let words = ["`listener`", "\"8080\"", "wanted"];
    assert_refused("accept", || args!["8080", "n"], kind, &words);
    let words = ["`name`", "String", "a descriptor", "bytes are wanted"];
    assert_refused("accept", || args![listener(), file()], kind, &words);
}

#[test]
fn a_worker_that_is_killed_before_it_is_ready_died() {
    let _alone = alone();
    for signal in [
        libc::SIGKILL,
        libc::SIGTERM,
        libc::SIGSEGV,
        libc::SIGRTMAX(),
    ] {
        let error = refused("doomed", || args![signal]);
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        let exit = error.exit().unwrap();
        assert_eq!((exit.signal(), exit.code()), (Some(signal), None));
        assert!(
            error
                .to_string()
                .contains("`doomed` ended before it was ready"),
            "{error}"
        );
    }
}

#[test]
fn a_worker_that_ends_before_it_is_ready_died() {
    let _alone = alone();
    for (end, code) in [("panic", 101), ("exit", 7)] {
        let error = refused("doomed", || args![end]);
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        let exit = error.exit().unwrap();
        assert_eq!(exit.code(), Some(code), "{error}");
    }
}

#[test]
fn errors_come_through_a_template_too() {
    let _alone = alone();
    let scene = Scene::early();
    let template = Process::new().unwrap().send_arg(300);
    for n in 0..20 {
        let error = template
            .fork()
            .send_arg(n)
            .run("resize")
            .blocking()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadArgument);
        let error = template
            .fork()
            .send_arg(n)
            .run("resise")
            .blocking()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownWorker);
    }
    let pid = template.pid().unwrap();
    assert_eq!(scene.workers(), [pid]);
    drop(template);
    scene.must_return();
}

/// A request by hand, as another program might send it.
#[test]
fn a_request_with_a_wrong_number_of_descriptors() {
    let _alone = alone();
    let scene = Scene::early();
    let control = Process::new().unwrap().into_fd().unwrap();
    let control = UnixDatagram::from(control);
    // A worker without arguments: its socket and its status pipe.
    let mut request = [0; 24];
    request[..4].copy_from_slice(b"AF\x01\x01");
    for count in [1, 3, 5] {
        let (mut answer, theirs) = UnixStream::pair().unwrap();
        let fds = vec![theirs.as_raw_fd(); count];
        control.send_with_fd(&request, &fds).unwrap();
        drop(theirs);
        let mut text = Vec::new();
        bounded("an answer", || answer.read_to_end(&mut text)).unwrap();
        // Failed, of this version, as a violation of the protocol.
        assert_eq!(text[..4], [2, 1, 6, 0]);
        let text = String::from_utf8_lossy(&text);
        let counts = format!("{count} descriptors came with a request that is to have 2");
        assert!(text.contains(&counts), "{text}");
    }
    drop(control);
    assert_eq!(early_template(), scene.template(), "it serves on");
    scene.must_return();
}
