//! The standard streams and the directory of a process.
//! RUNS IN: template, spare, child
//!
//! A process has those of its caller, unless its template has some of its own.
//!
//! A prepared template is on `/dev/null` and in `/`, and holds nothing of its program's.
//! What its preparation has changed, or settings have given to it, it owns and keeps. A
//! request brings the caller's streams and directory, and the child takes those that its
//! template does not own.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Error, Result};
use crate::protocol::request;
use crate::sys::fd_identity::{self, Identity};
use crate::sys::{fd, process_attrs};

/// A bit for each standard stream, one for the directory, and one for the root directory,
/// that this process and its children own.
static OWNED: AtomicU8 = AtomicU8::new(0);

const DIRECTORY: u8 = 3;
const ROOT: u8 = 4;

fn owns(number: u8) -> bool {
    OWNED.load(Ordering::Relaxed) & (1 << number) != 0
}

fn own(number: u8) {
    OWNED.fetch_or(1 << number, Ordering::Relaxed);
}

/// Notes that a standard stream is this process's own, and not its caller's.
pub(crate) fn own_stream(number: u8) {
    own(number);
}

/// Notes the same of the directory.
pub(crate) fn own_directory() {
    own(DIRECTORY);
}

/// Notes the same of the root directory, and of the directory in it. The caller's directory
/// is outside, and no request brings this process or its children there.
pub(crate) fn own_root() {
    own(ROOT);
    own(DIRECTORY);
}

/// Notes that this process owns nothing: a program that becomes a template may itself
/// be a child of one.
pub(crate) fn own_nothing() {
    OWNED.store(0, Ordering::Relaxed);
}

/// What has come with a request.
#[derive(Default)]
pub(crate) struct Surroundings {
    /// `None` for a stream that the caller has not got, or does not give.
    pub(crate) streams: [Option<OwnedFd>; 3],
    pub(crate) directory: Option<OwnedFd>,
    pub(crate) sent: request::Surroundings,
}

/// One of the surroundings that a process takes.
#[derive(Clone, Copy)]
pub(crate) enum Taken<'a> {
    Stream(u8, BorrowedFd<'a>),
    /// `/dev/null` for the stream.
    Null(u8),
    Directory(BorrowedFd<'a>),
}

impl Taken<'_> {
    /// What it sets, for messages.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Taken::Stream(number, _) | Taken::Null(number) => [
                "set stdin to the caller's",
                "set stdout to the caller's",
                "set stderr to the caller's",
            ][usize::from(number)],
            Taken::Directory(_) => "set the directory to the caller's",
        }
    }
}

impl Surroundings {
    /// Takes the streams and the directory, but for those that the template owns, and
    /// closes the descriptors that they came with.
    pub(crate) fn enter(self) -> Result<()> {
        self.take_over()
    }

    /// What the process takes of it, in this order: what its template does not own.
    ///
    /// It is no `Vec`: a child that allocates pays for pages of its own.
    pub(crate) fn taken(&self) -> impl Iterator<Item = Taken<'_>> {
        let stream = |number: u8| {
            let owned = owns(number);
            if owned && !self.sent.replaces_streams {
                return None;
            }
            match &self.streams[usize::from(number)] {
                Some(stream) => Some(Taken::Stream(number, stream.as_fd())),
                None if owned => Some(Taken::Null(number)),
                // The template is on `/dev/null` there.
                None => None,
            }
        };
        let directory = self
            .directory
            .as_ref()
            .filter(|_| (self.sent.replaces_directory && !owns(ROOT)) || !owns(DIRECTORY));
        let directory = directory.map(|directory| Taken::Directory(directory.as_fd()));
        let all = [stream(0), stream(1), stream(2), directory];
        all.into_iter().flatten()
    }

    fn take_over(&self) -> Result<()> {
        self.taken().try_for_each(|taken| {
            match taken {
                Taken::Stream(number, stream) => fd::set_standard_stream(number, stream),
                Taken::Null(number) => fd::open_null(number)
                    .and_then(|null| fd::set_standard_stream(number, null.as_fd())),
                Taken::Directory(directory) => process_attrs::change_to_open_directory(directory),
            }
            .map_err(|error| Error::io(taken.what(), error))
        })
    }

    /// Closes the descriptors, in a template whose child has them.
    pub(crate) fn close(self) {
        let [stdin, stdout, stderr] = self.streams;
        let all = [stdin, stdout, stderr, self.directory];
        fd::close_all(all.into_iter().flatten().collect());
    }

    /// [`enter`](Surroundings::enter), in a process that is about to close all
    /// descriptors that it does not know.
    pub(crate) fn enter_and_leave_open(self) -> Result<()> {
        let entered = self.take_over();
        // Forget: one call closes these with many others.
        mem::forget(self);
        entered
    }
}

/// The streams and the directory at some time, by which a change is noticed.
pub(crate) struct Snapshot {
    streams: [Option<Identity>; 3],
    directory: Option<Identity>,
}

impl Snapshot {
    /// As they are now.
    pub(crate) fn now() -> Snapshot {
        Snapshot {
            streams: [0, 1, 2].map(fd_identity::stream_identity),
            directory: fd_identity::directory_identity(),
        }
    }

    /// Lets go of what has not changed since: the template is prepared. What has
    /// changed is its own from now on.
    pub(crate) fn let_go(&self) -> io::Result<()> {
        let now = Snapshot::now();
        for (number, before) in (0..).zip(self.streams) {
            if before != now.streams[usize::from(number)] {
                own(number);
            }
        }
        if self.directory != now.directory {
            own(DIRECTORY);
        }
        let given_up = (0..=2).filter(|number| !owns(*number));
        let given_up: Vec<u8> = given_up.collect();
        if !given_up.is_empty() {
            let nothing = fd::open_nothing()?;
            for number in given_up {
                fd::set_standard_stream(number, nothing.as_fd())?;
            }
        }
        match owns(DIRECTORY) {
            true => Ok(()),
            false => process_attrs::change_directory("/".as_ref()),
        }
    }
}
