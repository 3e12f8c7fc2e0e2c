//! Whatever can cross arrives as it was sent, as a parameter and as a result: behind an
//! alias, in an outermost tuple, `Option` or `Result`, and what serde knows at any depth.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyfork::{Call, Failure, Fd, Json, Postcard};
use anyfork_tests::{bounded, new, pipe_with};
use serde::{Deserialize, Serialize};

fn done<R>(call: Call<R>) -> R {
    bounded("a call", || call.blocking()).unwrap()
}

fn text_in(fd: impl Into<OwnedFd>) -> String {
    io::read_to_string(File::from(fd.into())).unwrap()
}

type Maybe<T> = Option<T>;
type Outcome<T> = io::Result<T>;
type Three = (PipeReader, String, Vec<OwnedFd>);

#[anyfork::call]
fn parts(
    maybe: Maybe<PipeReader>,
    none: Option<File>,
    three: Three,
    fine: Result<Vec<u8>, String>,
    bad: Result<Three, PathBuf>,
    one: (u8,),
) -> Outcome<(Maybe<OwnedFd>, Vec<OwnedFd>, String)> {
    assert!(none.is_none());
    let (reader, text, fds) = three;
    assert_eq!(text_in(reader), "three");
    assert_eq!(fine.unwrap(), b"fine");
    assert_eq!(bad.unwrap_err(), PathBuf::from("/bad"));
    assert_eq!(one, (1,));
    Ok((maybe.map(Into::into), fds, text))
}

#[test]
fn parts_of_outermost_types() {
    let three = |text: &str| {
        let fds = vec![pipe_with("1"), pipe_with("2")];
        (pipe_with(text).into(), text.to_owned(), fds)
    };
    let (maybe, fds, text) = done(parts::call(
        new(),
        Some(pipe_with("maybe").into()),
        None,
        three("three"),
        Ok(b"fine".to_vec()),
        Err("/bad".into()),
        (1,),
    ))
    .unwrap();
    assert_eq!(text_in(maybe.unwrap()), "maybe");
    assert_eq!(fds.into_iter().map(text_in).collect::<String>(), "12");
    assert_eq!(text, "three");
}

type Twelve = (
    u8,
    i64,
    char,
    bool,
    f32,
    String,
    Vec<u8>,
    (),
    Option<u8>,
    [u16; 3],
    u128,
    File,
);

#[anyfork::call]
fn twelve(all: Twelve) -> Twelve {
    all
}

#[test]
fn a_tuple_of_twelve() {
    let file = File::from(pipe_with("file"));
    let text = "é".to_owned();
    let all = (
        1,
        -2,
        'c',
        true,
        0.5,
        text,
        vec![7],
        (),
        Some(9),
        [1, 2, 3],
        u128::MAX,
        file,
    );
    let back = done(twelve::call(new(), all));
    assert_eq!(
        (back.0, back.1, back.2, back.3, back.4),
        (1, -2, 'c', true, 0.5)
    );
    assert_eq!((back.5.as_str(), back.6, back.8), ("é", vec![7], Some(9)));
    assert_eq!((back.9, back.10), ([1, 2, 3], u128::MAX));
    assert_eq!(text_in(back.11), "file");
}

type Deep = HashMap<String, Vec<Option<Result<(u8, PathBuf), String>>>>;

#[anyfork::call]
fn deep(value: Deep, option: Option<Option<u8>>, result: Result<Option<u8>, ()>) -> (Deep, u8) {
    (value, option.flatten().unwrap() + result.unwrap().unwrap())
}

#[test]
fn what_is_deeper_is_serdes() {
    let value = vec![None, Some(Ok((1, "/p".into()))), Some(Err("e".into()))];
    let value: Deep = [("a".to_owned(), value), ("b".to_owned(), Vec::new())].into();
    let (back, sum) = done(deep::call(new(), value.clone(), Some(Some(3)), Ok(Some(4))));
    assert_eq!((back, sum), (value, 7));
}

#[anyfork::call]
fn fail(error: io::Error, fails: bool) -> Result<io::Error, io::Error> {
    match fails {
        true => Err(error),
        false => Ok(error),
    }
}

#[test]
fn errors_of_the_system_keep_kind_number_and_text() {
    use io::ErrorKind;
    for fails in [true, false] {
        let cross = |error| match done(fail::call(new(), error, fails)) {
            Ok(error) | Err(error) => error,
        };
        for number in [libc::ENOENT, libc::EMFILE, libc::EXDEV, libc::EUCLEAN] {
            let error = cross(io::Error::from_raw_os_error(number));
            let same = io::Error::from_raw_os_error(number);
            assert_eq!(error.raw_os_error(), Some(number));
            assert_eq!(
                (error.kind(), error.to_string()),
                (same.kind(), same.to_string())
            );
        }
        let error = cross(io::Error::new(ErrorKind::InvalidData, "no image"));
        assert_eq!(error.raw_os_error(), None);
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::InvalidData, "no image".into())
        );
        let error = cross(ErrorKind::UnexpectedEof.into());
        let same = io::Error::from(ErrorKind::UnexpectedEof).to_string();
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::UnexpectedEof, same)
        );
    }
}

#[derive(Serialize, Deserialize)]
struct Job {
    name: String,
    input: Fd<PipeReader>,
    more: Vec<(u8, Fd<File>)>,
    maybe: Option<Fd<OwnedFd>>,
}

#[anyfork::call]
fn hold(job: Job, beside: PipeReader) -> Result<Job, PipeReader> {
    match job.name.as_str() {
        "back" => Ok(job),
        _ => Err(beside),
    }
}

#[test]
fn descriptors_cross_inside_structures() {
    let job = |name: &str| Job {
        name: name.into(),
        input: Fd(pipe_with("input").into()),
        more: (0..3)
            .map(|n| (n, Fd(pipe_with(&n.to_string()).into())))
            .collect(),
        maybe: Some(Fd(pipe_with("maybe"))),
    };
    let beside = || PipeReader::from(pipe_with("beside"));
    let job_back = done(hold::call(new(), job("back"), beside()));
    let Ok(back) = job_back else {
        panic!("an error");
    };
    let more = back.more.into_iter().map(|(n, fd)| (n, text_in(fd.0)));
    let wanted = [
        (0, "0".to_owned()),
        (1, "1".to_owned()),
        (2, "2".to_owned()),
    ];
    assert_eq!(more.collect::<Vec<_>>(), wanted);
    assert_eq!(text_in(back.input.0), "input");
    assert_eq!(text_in(back.maybe.unwrap().0), "maybe");
    let other = done(hold::call(new(), job("other"), beside()));
    assert_eq!(other.map(|_| ()).map_err(text_in), Err("beside".into()));

    let alone = Fd(pipe_with(""));
    assert!(
        serde_json::to_string(&alone)
            .unwrap_err()
            .to_string()
            .contains("in a call only")
    );
    assert!(alone.as_fd().try_clone_to_owned().is_ok());
}

/// What postcard cannot carry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    name: String,
    #[serde(flatten)]
    rest: BTreeMap<String, Loose>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(u32),
    Text(String),
}

type Value = Json<serde_json::Value>;
type Short = Postcard<(u8, String)>;

#[anyfork::call]
fn formats(
    json: Json<Flat>,
    value: Option<Value>,
    short: Short,
    inside: Vec<Json<Flat>>,
) -> (Json<Flat>, Result<Value, ()>, Short, usize) {
    (json, value.ok_or(()), short, inside.len())
}

#[test]
fn other_formats_cross() {
    let rest = [
        ("n".to_owned(), Loose::Number(1)),
        ("t".to_owned(), Loose::Text("x".into())),
    ];
    let flat = Flat {
        name: "flat".into(),
        rest: rest.into(),
    };
    let value = serde_json::json!({"a": [1, null, "x"]});
    let (Json(json), value_back, Postcard(short), inside) = done(formats::call(
        new(),
        Json(flat.clone()),
        Some(Json(value.clone())),
        Postcard((7, "seven".into())),
        vec![Json(flat.clone()), Json(flat.clone())],
    ));
    assert_eq!((json, short, inside), (flat, (7, "seven".into()), 2));
    assert_eq!(value_back.unwrap().0, value);
}

fn open_config() -> anyhow::Result<u8> {
    use anyhow::Context;
    Err(io::Error::from_raw_os_error(libc::ENOENT)).context("open the config")
}

#[anyfork::call(text_errors)]
fn with_anyhow(fails: bool) -> anyhow::Result<(u8, PipeReader)> {
    use anyhow::Context;
    match fails {
        true => open_config()
            .context("start")
            .map(|n| (n, pipe_with("").into())),
        false => Ok((7, pipe_with("7").into())),
    }
}

type Boxed = Box<dyn std::error::Error>;

#[anyfork::call(text_errors)]
fn with_box(text: Option<String>) -> Result<(), Boxed> {
    match text {
        Some(text) => Err(text.into()),
        None => Ok(open_config().map(drop)?),
    }
}

#[anyfork::call(text_errors)]
async fn with_text() -> Result<String, &'static str> {
    Err("only a text")
}

#[test]
fn errors_arrive_as_text_with_their_chain() {
    let (seven, pipe) = done(with_anyhow::call(new(), false)).unwrap();
    assert_eq!((seven, text_in(pipe).as_str()), (7, "7"));
    let failure: Failure = done(with_anyhow::call(new(), true)).unwrap_err();
    let text = "start: open the config: No such file or directory (os error 2)";
    assert_eq!((failure.message(), failure.is_panic()), (text, false));
    assert_eq!(failure.to_string(), text);
    let failure = done(with_box::call(new(), None)).unwrap_err();
    assert_eq!(failure.message(), &text["start: ".len()..]);
    let failure = done(with_box::call(new(), Some("a".into()))).unwrap_err();
    assert_eq!(failure.message(), "a");
    assert_eq!(
        done(with_text::call(new())).unwrap_err().message(),
        "only a text"
    );
}

#[anyfork::call]
fn tell(failure: Failure, mut to: Vec<PipeWriter>) -> Result<(), Failure> {
    for to in &mut to {
        write!(to, "{failure}").unwrap();
    }
    Err(failure)
}

#[test]
fn failures_cross_on() {
    let failure = done(with_box::call(new(), Some("b".into()))).unwrap_err();
    let (mut reader, writer) = io::pipe().unwrap();
    let back = done(tell::call(new(), failure.clone(), vec![writer])).unwrap_err();
    assert_eq!(back, failure);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "b");
}
