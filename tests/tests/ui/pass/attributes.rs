//! Attributes of the function hold for what is generated beside it.
#![deny(warnings)]

use std::os::fd::OwnedFd;

use anyfork::Process;

#[anyfork::worker]
#[cfg(any())]
fn absent(_socket: Unknown) {}

#[cfg(any())]
#[anyfork::worker]
fn absent(_socket: Unknown) {}

#[anyfork::worker]
#[cfg_attr(all(), cfg(any()))]
fn absent(_socket: Unknown) {}

#[anyfork::early]
#[cfg(any())]
fn absent() -> Unknown {}

#[anyfork::worker]
#[cfg(all())]
fn absent(_socket: OwnedFd) {}

#[anyfork::worker]
#[deprecated = "use `absent`"]
#[must_use]
fn deprecated(_socket: OwnedFd) -> Result<(), String> {
    Ok(())
}

#[anyfork::worker]
#[deprecated]
async fn deprecated_later(_socket: OwnedFd) {}

#[anyfork::early]
#[deprecated]
#[must_use]
fn load() -> std::process::ExitCode {
    0.into()
}

#[deprecated]
struct Old;

#[allow(deprecated)]
impl anyfork::IntoArg for Old {
    fn into_arg(self) -> Result<anyfork::Arg, anyfork::ArgError> {
        "old".into_arg()
    }
}

#[allow(deprecated)]
impl anyfork::FromArg for Old {
    fn from_arg(_: anyfork::Arg) -> Result<Old, anyfork::ArgError> {
        Ok(Old)
    }
}

#[anyfork::worker]
#[allow(deprecated)]
fn allowed(_socket: OwnedFd, _old: Old) {}

#[anyfork::worker]
#[expect(deprecated)]
fn expected(_socket: OwnedFd, _old: Old) {}

#[anyfork::worker]
#[cfg_attr(all(), expect(deprecated, reason = "to see whether it works"))]
#[doc(hidden)]
#[inline]
#[track_caller]
fn expected_if(_socket: OwnedFd, #[allow(unused)] old: Old) {}

#[anyfork::early]
#[allow(deprecated)]
fn main() -> anyfork::Result<()> {
    let launches = [
        absent::run(Process::new()?),
        deprecated::run(Process::new()?),
        deprecated_later::run(Process::new()?),
        allowed::run(Process::new()?, Old),
        expected::run(Process::new()?, Old),
        expected_if::run(Process::new()?, Old),
    ];
    for launch in launches {
        assert!(launch.blocking()?.wait()?.success());
    }
    Ok(())
}
