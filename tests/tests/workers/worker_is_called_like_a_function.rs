//! A worker is called like a function: its parameters have types, the last of
//! them may be absent, and in its own process it can still be called.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyfork::{Arg, ArgError, Args, Command, ErrorKind, FromArg, IntoArg, Process, args};
use anyfork_tests::{new, text_of};

/// A type of the test's own.
#[derive(Debug)]
struct Point(i32, i32);

impl IntoArg for Point {
    fn into_arg(self) -> Result<Arg, ArgError> {
        format!("{},{}", self.0, self.1).into_arg()
    }
}

impl FromArg for Point {
    fn from_arg(arg: Arg) -> Result<Point, ArgError> {
        let text = String::from_arg(arg)?;
        let (x, y) = text.split_once(',').ok_or(ArgError::new("no comma"))?;
        let number = |text: &str| text.parse().map_err(ArgError::new);
        Ok(Point(number(x)?, number(y)?))
    }
}

macro_rules! numbers {
    ($($name:ident: $ty:ident),*) => {
        #[anyfork::worker]
        #[allow(clippy::too_many_arguments)]
        fn numbers(mut socket: UnixStream, $($name: $ty),*) -> io::Result<()> {
            write!(socket, "{:?}", [$($name.to_string()),*])
        }

        #[test]
        fn numbers_arrive_whole() {
            let all = |text: &[String]| format!("{text:?}");
            let min = all(&[$($ty::MIN.to_string()),*]);
            assert_eq!(text_of(numbers::run(new(), $($ty::MIN),*)), min);
            let max = all(&[$($ty::MAX.to_string()),*]);
            assert_eq!(text_of(numbers::run(new(), $($ty::MAX),*)), max);
            // As text they are the same.
            let text = [$($ty::MAX.to_string()),*];
            assert_eq!(text_of(new().send_args(text).run("numbers")), max);
        }
    };
}

numbers! {
    a: i8, b: u8, c: i16, d: u16, e: i32, f: u32, g: i64, h: u64,
    i: i128, j: u128, k: isize, l: usize, m: f32, n: f64
}

#[anyfork::worker]
#[allow(clippy::too_many_arguments)]
fn values(
    mut socket: UnixStream,
    double: f64,
    yes: bool,
    letter: char,
    text: String,
    bytes: Vec<u8>,
    raw: OsString,
    path: PathBuf,
    point: Point,
    arg: Arg,
    rest: Args,
) -> io::Result<()> {
    let all = (
        double,
        yes,
        letter,
        text,
        bytes,
        raw.into_vec(),
        path,
        point,
        arg,
        rest,
    );
    write!(socket, "{all:?}")
}

#[test]
fn values_arrive_as_they_were_sent() {
    let raw = OsString::from_vec(b"no \xff utf-8 \0".to_vec());
    let path = PathBuf::from("/a b/\u{e9}\n");
    let bytes: Vec<u8> = (0..=255).collect();
    let (letter, text) = ('\u{1f980}', "a \"text\"\0".to_owned());
    let arg = || Arg::Bytes(b"x".to_vec());
    let launch = values::run(
        new(),
        -0.1,
        true,
        letter,
        text.clone(),
        bytes.clone(),
        raw.clone(),
        path.clone(),
        Point(-1, 7),
        arg(),
        args![1, "two"],
    );
    let rest = args!["1", "two"];
    let all = (
        -0.1,
        true,
        letter,
        text,
        bytes,
        raw.into_vec(),
        path,
        Point(-1, 7),
        arg(),
        rest,
    );
    assert_eq!(text_of(launch), format!("{all:?}"));
}

#[anyfork::worker(name = "a name of its own")]
fn optional(mut socket: UnixStream, a: u8, b: Option<u32>, c: Option<String>, rest: Args) {
    write!(socket, "{a} {b:?} {c:?} {}", rest.len()).unwrap();
}

#[test]
fn options_may_be_absent() {
    let run = |b, c: Option<&str>, rest| optional::run(new(), 1, b, c.map(Into::into), rest);
    assert_eq!(text_of(run(None, None, Args::new())), "1 None None 0");
    assert_eq!(text_of(run(Some(7), None, Args::new())), "1 Some(7) None 0");
    assert_eq!(
        text_of(run(Some(7), Some("x"), args![1, 2])),
        "1 Some(7) Some(\"x\") 2"
    );
    // Absent, and what comes after it there: the one would be taken for the other.
    for launch in [
        run(None, Some("x"), Args::new()),
        run(Some(7), None, args![1]),
    ] {
        let error = launch.blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadArgument, "{error}");
    }
    assert_eq!(optional::NAME, "a name of its own");
    assert_eq!(
        text_of(new().send_arg(1).run("a name of its own")),
        "1 None None 0"
    );
}

#[test]
fn text_and_numbers_are_the_same() {
    let launch = new().send_arg("7").send_arg(7).run(optional::NAME);
    let other = new().send_arg(7).send_arg("7").run(optional::NAME);
    assert_eq!(text_of(launch), "7 Some(7) None 0");
    assert_eq!(text_of(other), "7 Some(7) None 0");
}

/// A value that cannot be sent.
struct Unsendable;

impl IntoArg for Unsendable {
    fn into_arg(self) -> Result<Arg, ArgError> {
        Err(io::Error::from(io::ErrorKind::InvalidData).into())
    }
}

#[test]
fn a_value_that_cannot_be_sent_fails_the_launch() {
    let process = new().send_arg(1).send_arg(Unsendable);
    let forked = process.fork();
    for process in [process, forked] {
        let error = process.run(optional::NAME).blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadArgument);
        let reason = io::Error::from(io::ErrorKind::InvalidData);
        let text = format!("argument 2 cannot be sent: {reason}");
        assert_eq!(error.to_string(), text);
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    }
}

#[anyfork::init]
fn prepare(_args: Args) {}

/// However the arguments are given.
#[test]
fn args_carry_their_failure_to_the_launch() {
    let failing = || args!["a", Unsendable, "c"];
    let refused = |process: Process| process.run(optional::NAME).blocking().unwrap_err();
    let errors = [
        ("argument 2 cannot", refused(new().send_args(failing()))),
        ("argument 3 cannot", {
            let chained = args![1].chain(failing()).chain(args![2]);
            refused(new().send_args(chained))
        }),
        ("argument 3 cannot", {
            let nested = [1, 2].into_iter().flat_map(|n| args![n, Unsendable]);
            refused(new().send_arg(0).send_args(nested))
        }),
        ("argument 5 cannot", {
            let launch = optional::run(new(), 0, Some(1), Some("b".into()), failing());
            launch.blocking().unwrap_err()
        }),
        (
            "init function `prepare`: argument 2 cannot",
            refused(new().init("prepare", failing())),
        ),
        (
            "prepare`: argument 2 cannot",
            refused(prepare::init(new(), failing())),
        ),
        (
            "init function `prepare`: argument 2 cannot",
            Command::new("true")
                .init("prepare", failing())
                .spawn()
                .blocking()
                .unwrap_err(),
        ),
    ];
    for (expected, error) in errors {
        assert_eq!(error.kind(), ErrorKind::BadArgument, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

mod inner {
    use std::process::id;

    #[anyfork::worker]
    pub(crate) fn without() {
        // Its socket is closed: nothing above the standard streams but, maybe,
        // the pipe for its status.
        let mut open = anyfork_tests::descriptors(id());
        open.retain(|number, link| *number > 2 && !link.starts_with("pipe:"));
        assert!(open.is_empty(), "{open:?}");
    }
}

#[test]
fn a_worker_needs_no_parameters() {
    assert_eq!(text_of(inner::without::run(new())), "");
    assert_eq!(
        inner::without::NAME,
        concat!(module_path!(), "::inner::without")
    );
    for name in ["without", "inner::without", inner::without::NAME] {
        assert_eq!(text_of(new().run(name)), "");
    }
}

#[test]
fn a_worker_can_be_called_in_process() {
    let (socket, mut other) = UnixStream::pair().unwrap();
    optional(socket, 1, Some(2), None, args!["x"]);
    let mut text = String::new();
    other.read_to_string(&mut text).unwrap();
    assert_eq!(text, "1 Some(2) None 1");
    let _function: fn() = inner::without;
}

/// A worker that has arguments and no socket.
#[anyfork::worker]
fn without_socket(file: std::fs::File, text: String, more: Option<u32>) -> io::Result<()> {
    let text = format!("{text} {more:?}");
    io::Write::write_all(&mut &file, text.as_bytes())
}

/// The same in an `async fn`.
#[anyfork::worker]
async fn without_socket_async(
    mut file: tokio::net::unix::pipe::Sender,
    text: String,
) -> io::Result<()> {
    tokio::io::AsyncWriteExt::write_all(&mut file, text.as_bytes()).await
}

#[test]
fn worker_needs_no_socket() {
    let (mut reader, writer) = io::pipe().expect("make a pipe");
    let file = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
    let launch = without_socket::run(new(), file, "text".into(), Some(3));
    let mut worker = launch.blocking().expect("run without a socket");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("read the pipe");
    assert_eq!(text, "text Some(3)");
    assert_eq!(worker.socket.read(&mut [0]).expect("the socket's end"), 0);
    assert!(worker.wait().expect("wait").success());

    let (mut reader, writer) = io::pipe().expect("make a pipe");
    let launch = new()
        .send_fd(writer)
        .send_arg("async")
        .run(without_socket_async::NAME);
    let mut worker = launch.blocking().expect("run without a socket");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("read the pipe");
    assert_eq!(text, "async");
    assert!(worker.wait().expect("wait").success());
}
