//! A crate whose users do not depend on anyfork themselves: `crate = path`.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unused_qualifications)]

use std::os::fd::OwnedFd;

/// Stands for the crate that re-exports.
pub mod framework {
    pub use anyfork as processes;

    /// An attribute of the framework's own could expand to this.
    #[macro_export]
    macro_rules! job {
        ($name:ident($argument:ident: $ty:ty) -> $output:ty = $registered:literal) => {
            #[anyfork::worker(crate = $crate::framework::processes, name = $registered)]
            fn $name(_socket: OwnedFd, $argument: $ty) -> $output {
                drop($argument);
            }
        };
    }
}

/// No crate of this name is in sight here.
mod anyfork {
    pub(super) use ::anyfork::{early, worker};
}

#[anyfork::worker(crate = crate::framework::processes)]
fn absolute(_socket: OwnedFd, _maybe: Option<u8>, _rest: framework::processes::Args) {}

#[anyfork::worker(crate = framework::processes)]
async fn relative(_socket: OwnedFd, _name: String) {}

job!(from_a_macro(process: String) -> () = "macro");

#[anyfork::early(crate = framework::processes)]
fn load() {}

#[anyfork::early(crate = framework::processes,)]
fn main() -> framework::processes::Result<()> {
    use framework::processes::{Process, args};

    let launches = [
        absolute::run(Process::new()?, None, args![]),
        relative::run(Process::new()?, "Ada".into()),
        from_a_macro::run(Process::new()?, "Ada".into()),
        Process::new()?.send_arg("Ada").run("macro"),
    ];
    for launch in launches {
        assert!(launch.blocking()?.wait()?.success());
    }
    Ok(())
}
