//! A worker may never return, without a warning about what cannot be reached.
#![deny(warnings)]

use std::os::fd::OwnedFd;
use std::process::exit;

use anyfork::Process;

#[anyfork::worker]
fn forever() -> ! {
    exit(7)
}

#[anyfork::worker]
fn forever_with_socket(_socket: OwnedFd, code: i32) -> ! {
    exit(code)
}

#[anyfork::worker]
async fn later() -> ! {
    std::future::ready(()).await;
    exit(7)
}

#[anyfork::worker(flavor = "multi_thread")]
async fn later_with_socket(_socket: OwnedFd, code: i32) -> ! {
    exit(code)
}

macro_rules! worker_of {
    ($ty:ty) => {
        #[anyfork::worker]
        fn of_a_macro() -> $ty {
            exit(7)
        }
    };
}
worker_of!(!);

#[anyfork::early]
fn load() -> std::process::ExitCode {
    if std::env::args().len() > 5 {
        never()
    } else {
        0.into()
    }
}

fn never() -> ! {
    exit(1)
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    let launches = [
        forever::run(Process::new()?),
        forever_with_socket::run(Process::new()?, 7),
        later::run(Process::new()?),
        later_with_socket::run(Process::new()?, 7),
        of_a_macro::run(Process::new()?),
    ];
    for launch in launches {
        assert_eq!(launch.blocking()?.wait()?.code(), Some(7));
    }
    Ok(())
}
