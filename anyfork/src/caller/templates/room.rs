//! [`Question`]: whether a template has room for the descriptors of a request.
//! RUNS IN: caller
//!
//! A request without a reply was lost in one of three ways: its template has exited, its
//! receiver's table of descriptors is full, or a spare was killed in the moment in which it
//! had taken the request and could not report it yet. What is no request tells which: a
//! receiver refuses it on the socket that comes with it, and the kernel closes a socket for
//! which the receiver has no room.
//!
//! The question never waits: the launch asks it again, until there is an answer.

use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::caller::templates::handle::TemplateHandle;
use crate::error::Error;
use crate::exit::Exit;
use crate::protocol::request::HEAD_LEN;
use crate::sys::{deliver, socket};

/// Timeout for the refusal of what is no request. Longer than a template leaves a message to
/// spares that do not take it.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Timeout for a template's control socket to close, once another of its descriptors has: a
/// process that ends closes them one after the other.
const TIMEOUT_FOLLOW: Duration = Duration::from_millis(100);

/// Why a request was lost whose template seems to run.
pub(crate) struct Question {
    begun: Instant,
    state: State,
}

enum State {
    /// There is no room for the question, or the kernel takes no descriptor for now.
    Unsent {
        mine: UnixStream,
        theirs: UnixStream,
    },
    Sent {
        mine: UnixStream,
    },
    /// It was closed without a refusal, at this time.
    Closed(Instant),
    /// It was refused, or cannot be asked.
    HasRoom,
}

impl Question {
    pub(crate) fn new() -> Question {
        let state = match socket::stream_pair() {
            Ok((mine, theirs)) => State::Unsent { mine, theirs },
            Err(_) => State::HasRoom,
        };
        Question {
            begun: Instant::now(),
            state,
        }
    }

    /// Why the request was lost. `None`: ask again later.
    pub(crate) fn ask(&mut self, template: &TemplateHandle) -> Option<Error> {
        let age = self.begun.elapsed();
        self.state = mem::replace(&mut self.state, State::HasRoom).next(template);
        if template.is_gone() {
            return Some(template.why_gone());
        }
        match self.state {
            State::Closed(at) if at.elapsed() > TIMEOUT_FOLLOW => Some(no_room()),
            State::HasRoom if age > TIMEOUT_FOLLOW => Some(killed()),
            State::Unsent { .. } | State::Sent { .. } if age > TIMEOUT => Some(killed()),
            _ => None,
        }
    }
}

impl State {
    fn next(self, template: &TemplateHandle) -> State {
        match self {
            State::Unsent { mine, theirs } => {
                let (bytes, fds) = ([0; HEAD_LEN], [theirs.as_fd()]);
                match socket::send(template.control(), &bytes, &fds) {
                    Ok(_) => State::Sent { mine },
                    Err(error) if is_for_now(&error) => State::Unsent { mine, theirs },
                    Err(_) => State::HasRoom,
                }
            }
            State::Sent { mine } => {
                match socket::receive(mine.as_fd(), &mut [0], &mut Vec::new()) {
                    Ok(received) if received.len == 0 => State::Closed(Instant::now()),
                    Err(error) if is_for_now(&error) => State::Sent { mine },
                    Ok(_) | Err(_) => State::HasRoom,
                }
            }
            State::Closed(_) | State::HasRoom => self,
        }
    }
}

fn is_for_now(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || deliver::is_too_many_in_flight(error)
}

fn no_room() -> Error {
    let error = io::Error::from_raw_os_error(libc::EMFILE);
    let message = "the template has no room for the descriptors of a request: an `rlimit` of \
                   `NOFILE` that is set before `fork` is the template's, too";
    Error::io(message, error)
}

fn killed() -> Error {
    let message = "the spare that took the request was killed before it could report it";
    Error::died(message, Exit::unknown(None))
}
