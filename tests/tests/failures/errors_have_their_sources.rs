//! An error that is returned comes home with its sources, each of them once, whatever
//! its type is.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::os::fd::OwnedFd;

use anyfork::{ErrorKind, Process};
use anyfork_tests::{exit_of, new};

#[derive(Debug)]
struct Load(io::Error);

impl Display for Load {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("load the model")
    }
}

impl Error for Load {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn missing() -> Load {
    Load(io::Error::from_raw_os_error(libc::ENOENT))
}

const WHOLE: &str = "load the model: No such file or directory (os error 2)";

/// An error as `anyhow` and `eyre` have it: none of std's kind, that prints its sources
/// if it is asked to.
#[derive(Debug)]
struct Report(Load);

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match f.alternate() {
            true => write!(f, "{}: {}", self.0, self.0.0),
            false => self.0.fmt(f),
        }
    }
}

impl AsRef<dyn Error + 'static> for Report {
    fn as_ref(&self) -> &(dyn Error + 'static) {
        &self.0
    }
}

#[anyfork::worker]
fn plain(_socket: OwnedFd) -> Result<(), Load> {
    Err(missing())
}

#[anyfork::worker]
fn boxed(_socket: OwnedFd) -> Result<(), Box<dyn Error>> {
    Err(missing())?
}

#[anyfork::worker]
fn boxed_sync(_socket: OwnedFd) -> Result<std::process::ExitCode, Box<dyn Error + Send + Sync>> {
    Err(missing())?
}

#[anyfork::worker]
async fn reported(_socket: OwnedFd) -> Result<(), Report> {
    Err(Report(missing()))
}

#[anyfork::worker]
fn implied(_socket: OwnedFd) -> Result<(), impl Display + fmt::Debug> {
    Err::<(), _>("only a text")
}

/// What prints its source itself: this library's errors do.
#[anyfork::worker]
fn whole_already(_socket: OwnedFd) -> anyfork::Result<()> {
    let process = Process::new()?.current_dir("/nowhere");
    process.run(plain::NAME).blocking().map(drop)
}

#[test]
fn a_workers_error_has_its_sources() {
    for name in [plain::NAME, boxed::NAME, boxed_sync::NAME, reported::NAME] {
        let exit = exit_of(new().run(name));
        let failure = exit.failure().unwrap();
        assert_eq!((exit.code(), failure.message()), (Some(1), WHOLE), "{name}");
    }
    let exit = exit_of(implied::run(new()));
    assert_eq!(exit.failure().unwrap().message(), "only a text");
    let exit = exit_of(whole_already::run(new()));
    let text = exit.failure().unwrap().message();
    assert_eq!(text.matches("No such file").count(), 1, "{text}");
}

#[anyfork::init]
fn load() -> Result<(), Load> {
    Err(missing())
}

#[test]
fn an_inits_error_has_its_sources() {
    let error = new()
        .init("load", ())
        .run(plain::NAME)
        .blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InitFailed);
    assert!(error.to_string().contains(WHOLE), "{error}");
}
