//! A type that cannot cross is one error, wherever it is.

use std::fs::File;
use std::rc::Rc;

struct Plain;

#[derive(serde::Serialize)]
struct OneWay;

type Alias = Plain;
type Maybe = Option<Plain>;
type Outcome = std::io::Result<Plain>;
type Pair = (u8, Plain);

#[anyfork::call]
fn parameter(_plain: Plain) {}

#[anyfork::call]
fn one_way(_one: OneWay) {}

#[anyfork::call]
fn result() -> Plain {
    Plain
}

#[anyfork::call]
fn alias(_plain: Alias) {}

#[anyfork::call]
fn option(_maybe: Option<Plain>) {}

#[anyfork::call]
fn option_alias(_maybe: Maybe) {}

#[anyfork::call]
fn outcome(_outcome: Outcome) {}

#[anyfork::call]
fn error() -> Result<(), Plain> {
    Ok(())
}

#[anyfork::call]
fn pair() -> Pair {
    (1, Plain)
}

#[anyfork::call]
fn pair_in_ok() -> Result<(File, Plain), std::io::Error> {
    Err(std::io::ErrorKind::Other.into())
}

#[anyfork::call]
fn list(_list: Vec<Plain>) {}

#[anyfork::call]
fn shared(_shared: Rc<File>) {}

#[anyfork::call]
fn too_deep(_files: Vec<Option<File>>) {}

fn main() {}
