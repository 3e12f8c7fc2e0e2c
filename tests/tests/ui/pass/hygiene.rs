//! No name of a user's meets a name of an expansion.
#![deny(warnings)]
#![allow(non_upper_case_globals)]

use ::std::os::fd::OwnedFd;

use anyfork::Process;

// What expansions would name without a path.
#[allow(dead_code)]
mod core {}
#[allow(dead_code)]
mod std {}
#[allow(dead_code)]
enum Result {}
#[allow(dead_code)]
enum Ok {}
#[allow(dead_code)]
struct Some;
#[allow(dead_code)]
struct None;
#[allow(dead_code)]
const value: u8 = 0;
#[allow(dead_code)]
static runtime: u8 = 0;

#[anyfork::worker]
fn parameters(
    process: OwnedFd,
    call: String,
    socket: String,
    arg1: String,
    r#fn: String,
    enter: Option<String>,
    name: Option<String>,
) {
    drop(process);
    assert_eq!([call, socket, arg1, r#fn], ["1", "2", "3", "4"]);
    assert_eq!(
        (enter.as_deref(), name),
        (::core::option::Option::Some("5"), Option::None)
    );
}

#[anyfork::worker]
fn own_process(_socket: OwnedFd, process: u8, _args: anyfork::Args) {
    assert_eq!(process, 1);
}

#[anyfork::worker]
fn patterns(_: OwnedFd, _: u8, arg1: u8, _: u8) {
    assert_eq!(arg1, 2);
}

macro_rules! workers {
    ($($name:ident)*) => {$(
        #[anyfork::worker]
        fn $name(socket: OwnedFd, process: u8) {
            drop(socket);
            assert_eq!(process, 1);
        }
    )*};
}

mod functions {
    use super::OwnedFd;

    workers! { call socket enter process run outcome drop__ worker args }

    pub(super) fn all(process: impl Fn() -> super::Process) -> [super::Launch; 9] {
        [
            call::run(process(), 1),
            socket::run(process(), 1),
            enter::run(process(), 1),
            process::run(process(), 1),
            run::run(process(), 1),
            outcome::run(process(), 1),
            drop__::run(process(), 1),
            worker::run(process(), 1),
            args::run(process(), 1),
        ]
    }
}

type Launch = anyfork::Launch<anyfork::Worker>;

#[anyfork::early]
fn main() {
    let process = || Process::new().expect("there is a template");
    let some = |text: &str| ::core::option::Option::Some(text.into());
    let mut launches = Vec::from(functions::all(process));
    launches.push(parameters::run(
        process(),
        "1".into(),
        "2".into(),
        "3".into(),
        "4".into(),
        some("5"),
        Option::None,
    ));
    launches.push(own_process::run(process(), 1, anyfork::args![2]));
    launches.push(patterns::run(process(), 1, 2, 3));
    for launch in launches {
        let exit = launch.blocking().and_then(|mut worker| worker.wait());
        assert!(exit.is_ok_and(|exit| exit.success()));
    }
}
