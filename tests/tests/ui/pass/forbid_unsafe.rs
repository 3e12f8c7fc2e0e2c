//! Every shape of a worker, under lints that forbid what expansions like to do.
#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    rust_2018_idioms,
    unreachable_pub,
    unused_lifetimes,
    unused_qualifications,
    unused_results
)]

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyfork::{Args, Process};

/// Nothing goes in, nothing comes out.
#[anyfork::worker]
fn nothing() {}

#[anyfork::worker(name = "constant")]
const fn constant() {}

#[anyfork::worker]
fn socket_only(_: OwnedFd) -> ExitCode {
    ExitCode::from(3)
}

/// The rest: every kind of parameter.
#[anyfork::worker]
pub fn all_kinds(
    mut socket: std::os::unix::net::UnixStream,
    name: String,
    mut times: u32,
    _: char,
    _file: File,
    Pair(first, second): Pair,
    maybe: Option<u8>,
    or: Option<PathBuf>,
    mut rest: Args,
) -> std::io::Result<()> {
    use std::io::Write;

    times += 1;
    let rest = rest.next_as::<String>();
    write!(
        socket,
        "{name} {times} {first}{second} {maybe:?} {or:?} {rest:?}"
    )
}

type PathBuf = std::path::PathBuf;

/// An argument type of one's own.
#[derive(Debug)]
pub struct Pair(char, char);

impl anyfork::IntoArg for Pair {
    fn into_arg(self) -> Result<anyfork::Arg, anyfork::ArgError> {
        format!("{}{}", self.0, self.1).into_arg()
    }
}

impl anyfork::FromArg for Pair {
    fn from_arg(arg: anyfork::Arg) -> Result<Pair, anyfork::ArgError> {
        let text = String::from_arg(arg)?;
        match text.chars().collect::<Vec<_>>()[..] {
            [first, second] => Ok(Pair(first, second)),
            _ => Err(anyfork::ArgError::new("not a pair")),
        }
    }
}

#[anyfork::worker]
fn boxed_error(_socket: OwnedFd) -> Result<ExitCode, Box<dyn std::error::Error>> {
    Err("as expected".into())
}

#[anyfork::worker]
fn hidden_error(_socket: OwnedFd) -> Result<(), impl std::error::Error> {
    Err(std::fmt::Error)
}

#[anyfork::worker]
async fn later() {
    std::future::ready(()).await;
}

#[anyfork::worker(flavor = "current_thread")]
async fn later_with_socket(_socket: tokio::net::UnixStream) -> ExitCode {
    std::future::ready(4.into()).await
}

#[anyfork::worker(name = "pool", flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn later_in_a_pool(socket: OwnedFd, code: u8) -> Result<ExitCode, String> {
    let spawned = tokio::spawn(async move { drop(socket) });
    spawned.await.map_err(|error| error.to_string())?;
    Ok(ExitCode::from(code))
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    let exit_code = |launch: anyfork::Launch<anyfork::Worker>| {
        let mut worker = launch.blocking()?;
        let exit = worker.wait()?;
        Ok::<_, anyfork::Error>(exit.code())
    };
    assert_eq!(exit_code(nothing::run(Process::new()?))?, Some(0));
    assert_eq!(exit_code(constant::run(Process::new()?))?, Some(0));
    assert_eq!(exit_code(socket_only::run(Process::new()?))?, Some(3));
    assert_eq!(exit_code(boxed_error::run(Process::new()?))?, Some(1));
    assert_eq!(exit_code(hidden_error::run(Process::new()?))?, Some(1));
    assert_eq!(exit_code(later::run(Process::new()?))?, Some(0));
    assert_eq!(exit_code(later_with_socket::run(Process::new()?))?, Some(4));
    assert_eq!(
        exit_code(later_in_a_pool::run(Process::new()?, 5))?,
        Some(5)
    );
    assert_eq!(
        exit_code(Process::new()?.send_arg("6").run("pool"))?,
        Some(6)
    );
    assert_eq!(
        (constant::NAME, later_in_a_pool::NAME),
        ("constant", "pool")
    );
    assert_eq!(all_kinds::NAME, concat!(module_path!(), "::all_kinds"));

    let launch = all_kinds::run(
        Process::new()?,
        "Ada".into(),
        1,
        'x',
        File::open("/dev/null")?,
        Pair('4', '2'),
        Some(7),
        Some("/tmp".into()),
        anyfork::args!["more"],
    );
    let mut text = String::new();
    let mut worker = launch.blocking()?;
    assert!(worker.socket.read_to_string(&mut text)? > 0);
    assert_eq!(text, r#"Ada 2 42 Some(7) Some("/tmp") Ok(Some("more"))"#);
    assert!(worker.wait()?.success());
    Ok(())
}
