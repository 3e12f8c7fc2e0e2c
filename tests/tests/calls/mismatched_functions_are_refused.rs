//! A call reaches the function of its name and signature, or none: another build of the
//! program never decodes arguments as something else.

use anyfork::{Call, ErrorKind, Process};
use anyfork_tests::bounded;

type Id = u32;

/// As in the other program, but for the alias.
#[anyfork::call(name = "same")]
fn same(number: u32, text: Option<String>) -> Result<u64, String> {
    let _ = text;
    Ok(u64::from(number))
}

#[anyfork::call(name = "another parameter")]
fn parameter(number: Id) -> u8 {
    number as u8
}

#[anyfork::call(name = "another result")]
fn result(number: u32) -> Option<u8> {
    Some(number as u8)
}

#[anyfork::call(name = "another order")]
fn order(width: u32, height: u32) -> u32 {
    width - height
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Point {
    x: u8,
}

#[anyfork::call(name = "another structure")]
fn structure(point: Point) -> u8 {
    point.x
}

#[anyfork::call(name = "here only")]
fn here_only() {}

fn other() -> Process {
    Process::exec_program(env!("CARGO_BIN_EXE_other_build")).expect("a template")
}

fn blocking<R>(call: Call<R>) -> anyfork::Result<R> {
    bounded("a call", || call.blocking())
}

#[test]
fn by_another_build_of_the_program() {
    let answer = blocking(same::call(other(), 7, Some("x".into()))).unwrap();
    assert_eq!(answer, Err("the other build has 7".into()));
    let refusals = [
        blocking(parameter::call(other(), 1)).unwrap_err(),
        blocking(result::call(other(), 1)).unwrap_err(),
        blocking(order::call(other(), 1, 1)).unwrap_err(),
        blocking(structure::call(other(), Point { x: 1 })).unwrap_err(),
    ];
    for error in refusals {
        assert_eq!(error.kind(), ErrorKind::BadArgument, "{error}");
        assert!(
            error.to_string().contains("` has another signature"),
            "{error}"
        );
        assert!(error.never_entered());
    }
    let error = blocking(here_only::call(other())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadArgument, "{error}");
    assert!(
        error.to_string().starts_with("no function `here only`"),
        "{error}"
    );
    assert!(error.never_entered());
}
