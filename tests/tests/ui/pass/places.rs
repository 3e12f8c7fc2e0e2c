//! Workers stand anywhere a function does, at any visibility.
#![deny(warnings, missing_docs, unreachable_pub, private_interfaces)]

use std::os::fd::OwnedFd;

use anyfork::{Launch, Process, Worker};

/// Public, and so is its companion.
#[anyfork::worker]
pub fn public(_socket: OwnedFd) {}

#[anyfork::worker]
pub(crate) fn of_the_crate(_socket: OwnedFd, _own: Own) {}

#[anyfork::worker]
fn private(_socket: OwnedFd, _own: Own) {}

/// An argument type of one's own.
pub(crate) struct Own;

impl anyfork::FromArg for Own {
    fn from_arg(_: anyfork::Arg) -> Result<Own, anyfork::ArgError> {
        Ok(Own)
    }
}

impl anyfork::IntoArg for Own {
    fn into_arg(self) -> Result<anyfork::Arg, anyfork::ArgError> {
        "own".into_arg()
    }
}

mod inner {
    use super::{Own, OwnedFd};

    #[anyfork::worker]
    pub(super) fn of_the_parent(_socket: OwnedFd, _own: Own) {}

    pub(crate) mod deeper {
        use super::{Own, OwnedFd};

        #[anyfork::worker]
        pub(in super::super) fn of_a_path(_socket: OwnedFd, _own: Own) {}

        #[anyfork::worker]
        #[allow(dead_code)]
        pub(self) fn never_started(_socket: OwnedFd, _own: Own) {}
    }
}

fn in_a_function() -> anyfork::Result<Launch<Worker>> {
    #[anyfork::worker(name = "local")]
    fn public(_socket: OwnedFd, _local: Local) {}

    struct Local;

    impl anyfork::IntoArg for Local {
        fn into_arg(self) -> Result<anyfork::Arg, anyfork::ArgError> {
            "local".into_arg()
        }
    }

    impl anyfork::FromArg for Local {
        fn from_arg(_: anyfork::Arg) -> Result<Local, anyfork::ArgError> {
            Ok(Local)
        }
    }

    Ok(public::run(Process::new()?, Local))
}

mod raw {
    #[anyfork::worker]
    pub(super) fn r#type(_socket: super::OwnedFd, r#match: String) {
        assert_eq!(r#match, "a");
    }
}

#[anyfork::early]
fn main() -> anyfork::Result<()> {
    assert_eq!(raw::r#type::NAME, concat!(module_path!(), "::raw::type"));
    let launches = [
        public::run(Process::new()?),
        of_the_crate::run(Process::new()?, Own),
        private::run(Process::new()?, Own),
        inner::of_the_parent::run(Process::new()?, Own),
        inner::deeper::of_a_path::run(Process::new()?, Own),
        in_a_function()?,
        raw::r#type::run(Process::new()?, "a".into()),
        Process::new()?.send_arg("a").run("raw::type"),
    ];
    for launch in launches {
        assert!(launch.blocking()?.wait()?.success());
    }
    // The user's functions are functions still.
    raw::r#type(std::fs::File::open("/dev/null")?.into(), "a".into());

    let error = Process::new()?
        .run("raw::type")
        .blocking()
        .unwrap_err()
        .to_string();
    assert!(error.contains("`match` (String)"), "{error}");
    Ok(())
}
