//! [`Descriptors`]: what a spawn opens before it begins, all or none.
//! RUNS IN: caller

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::args::value::Arg;
use crate::caller::spawn::spec::SpawnSpec;
use crate::caller::stdio::{self, Streams};
use crate::caller::wait::shortage;
use crate::error::{Error, Result};
use crate::protocol::MAX_REQUEST;
use crate::protocol::body::Body;
use crate::spec::{Setting, Step};
use crate::sys::{fd, socket};

/// The descriptors of a spawn.
pub(crate) struct Descriptors {
    /// The reply socket: the caller's end, and the child's.
    pub(crate) reply: (UnixStream, UnixStream),
    /// The status pipe: its reading end, and the writing one.
    pub(crate) status: (OwnedFd, OwnedFd),
    /// The caller's directory. One that may not be looked at is not sent.
    pub(crate) directory: Option<OwnedFd>,
    /// Reserves an entry of the table for a file with the arguments.
    pub(crate) reserve: Option<OwnedFd>,
    /// The caller's ends of the pipes.
    pub(crate) streams: Streams,
    /// The child's.
    pub(crate) settings: Vec<Setting>,
}

impl Descriptors {
    pub(crate) fn open(spec: &SpawnSpec) -> Result<Descriptors> {
        let failed = |step| {
            let what = spec.what();
            move |error| Error::io(format_args!("start `{what}`: {step}"), error)
        };
        let (mut streams, mut settings) = (Streams::default(), Vec::new());
        for (number, stream) in (0..).zip(&mut streams.0) {
            if spec.piped[usize::from(number)] {
                let (theirs, mine) = stdio::pipe(number)?;
                *stream = Some(mine);
                let to = Some(theirs);
                settings.push(Setting::Stream { number, to });
            }
        }
        let reply = socket::reply_pair().map_err(failed("socketpair"))?;
        let status = fd::nonblocking_pipe().map_err(failed("pipe"))?;
        let directory = match spec.surroundings.directory {
            true => match fd::open_current_directory() {
                Err(error) if shortage::is_full_io(&error) => {
                    return Err(failed("open the current directory")(error));
                }
                opened => opened.ok(),
            },
            false => None,
        };
        let reserve = match is_large(&spec.body) {
            true => Some(status.0.as_fd().try_clone_to_owned()),
            false => None,
        };
        Ok(Descriptors {
            reserve: reserve.transpose().map_err(failed("store the arguments"))?,
            reply,
            status,
            directory,
            streams,
            settings,
        })
    }
}

/// Whether a body may be too large for a message: an estimate, without numbers and names.
fn is_large(body: &Body) -> bool {
    let arg = |arg: &Arg| match arg {
        Arg::Bytes(bytes) => bytes.len(),
        Arg::Fd(_) => 0,
    };
    let steps = body.steps.iter().map(|step| match step {
        Step::Arg(it) => arg(it),
        Step::Init { args, .. } => args.iter().map(arg).sum(),
        Step::Require(path) => path.as_os_str().len(),
    });
    let args = body.program.iter().flat_map(|program| &program.args);
    let settings = body.settings.iter().map(Setting::size);
    let bytes: usize = steps
        .chain(args.map(|it| it.len() + 8))
        .chain(settings)
        .sum();
    bytes > MAX_REQUEST / 2
}
