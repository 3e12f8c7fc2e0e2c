//! [`ExitWatch`]: a child that was ready once; what the async and the blocking
//! handles have in common, and all handles of one child.
//!
//! A child that comes to its own end says so in the status pipe, and the
//! template writes the record of every end there, and then collects the child.
//! Both count only when the process has really ended, which its pidfd tells. So a
//! child that has ended needs no template to be told of; one that was killed and
//! collected without a record, or whose pipe is at its end, is one whose template
//! is gone: then the kernel is asked.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::caller::child::status;
use crate::caller::child::status::{Look, StatusPipe};
use crate::caller::trace::Trace;
use crate::error::{Error, Result};
use crate::exit::{Exit, Usage};
#[cfg(feature = "tokio")]
use crate::sys::epoll::Epoll;
use crate::sys::pidfd::ProcessState;
use crate::sys::poll::Interest;
use crate::sys::{pidfd, poll, wait};

/// A child, until its end is known and after. A clone is another handle of it.
#[derive(Clone, Debug)]
pub(crate) struct ExitWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pid: u32,
    pidfd: OwnedFd,
    status: StatusPipe,
    kill_on_drop: bool,
    trace: Trace,
    /// Held while one handle looks: the end is collected only once.
    end: Mutex<Option<Exit>>,
}

/// What a look at a child found.
#[derive(Debug)]
pub(crate) enum ExitState {
    Ended(Exit),
    Running(Awaits),
}

/// What makes another [`look`](ExitWatch::look) worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// The child's end.
    End,
    /// The record of it, or that the child is collected: others may hold the pipe
    /// open, such as the child's own children.
    Record,
}

impl ExitWatch {
    pub(crate) fn new(
        pid: u32,
        pidfd: OwnedFd,
        status: StatusPipe,
        kill_on_drop: bool,
        trace: Trace,
    ) -> ExitWatch {
        ExitWatch(Arc::new(Shared {
            pid,
            pidfd,
            status,
            kill_on_drop,
            trace,
            end: Mutex::new(None),
        }))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.pid
    }

    /// How the child ended, if it has.
    pub(crate) fn look(&self) -> Result<ExitState> {
        let shared = &*self.0;
        let mut end = shared.end.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exit) = &*end {
            return Ok(ExitState::Ended(exit.clone()));
        }
        let now = shared.find_end();
        let now = now.inspect_err(|error| shared.trace.failed(error))?;
        if let ExitState::Ended(exit) = &now {
            shared.trace.ended(exit);
            *end = Some(exit.clone());
        }
        Ok(now)
    }

    /// Waits until the child has ended; `None` if the deadline passes first.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Result<Option<Exit>> {
        let failed = |error| Error::io("wait for a worker", error);
        let (pipe, pidfd) = (self.0.status.as_fd(), self.0.pidfd.as_fd());
        loop {
            let awaits = match self.look()? {
                ExitState::Ended(exit) => return Ok(Some(exit)),
                ExitState::Running(awaits) => awaits,
            };
            let came = match awaits {
                Awaits::Record => {
                    let collected = (pidfd, Interest::HungUp);
                    poll::wait_any(&[(pipe, Interest::Readable), collected], deadline)
                }
                Awaits::End => poll::wait(pidfd, Interest::Readable, deadline),
            };
            if !came.map_err(failed)? {
                return Ok(None);
            }
        }
    }

    /// A descriptor that is readable when another [`look`](ExitWatch::look) is
    /// worth it.
    #[cfg(feature = "tokio")]
    pub(crate) fn news(&self, awaits: Awaits) -> io::Result<OwnedFd> {
        let set = Epoll::new()?;
        match awaits {
            Awaits::Record => {
                set.add(&self.0.status, 0)?;
                set.add_hung_up(&self.0.pidfd, 0)?;
            }
            Awaits::End => set.add(&self.0.pidfd, 0)?,
        }
        Ok(set.into())
    }

    /// Sends a signal; a child that has ended is no error.
    pub(crate) fn signal(&self, signal: i32) -> Result<()> {
        sent(signal, pidfd::send_signal(self.0.pidfd.as_fd(), signal))
    }

    /// Sends a signal to the process group that the child leads; a group that is
    /// empty is no error.
    pub(crate) fn signal_group(&self, signal: i32) -> Result<()> {
        sent(
            signal,
            pidfd::send_signal_to_group(self.0.pidfd.as_fd(), self.0.pid, signal),
        )
    }
}

fn sent(signal: i32, result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        result => {
            result.map_err(|error| Error::io(format_args!("send a worker signal {signal}"), error))
        }
    }
}

impl Shared {
    fn find_end(&self) -> Result<ExitState> {
        // Before the pipe: what is not in there afterwards never will be.
        let stage = pidfd::state(self.pidfd.as_fd())
            .map_err(|error| Error::io("look how far a worker is", error))?;
        if stage == ProcessState::Running {
            return Ok(ExitState::Running(Awaits::End));
        }
        Ok(match self.status.look()? {
            Look::Ended(exit) => {
                // Nobody else would, of a child that this process has adopted.
                if stage == ProcessState::Exited {
                    wait::reap_adopted(self.pidfd.as_fd());
                }
                ExitState::Ended(exit)
            }
            Look::Nothing if stage == ProcessState::Exited => ExitState::Running(Awaits::Record),
            Look::Nothing | Look::Lost => ExitState::Ended(self.ask_the_kernel()?),
        })
    }

    /// How the child ended, whose template did not live to tell.
    fn ask_the_kernel(&self) -> Result<Exit> {
        let (pidfd, failure) = (self.pidfd.as_fd(), self.status.failure());
        if let Some(end) = wait::reap_adopted(pidfd) {
            return Ok(Exit {
                status: end.status,
                usage: Usage::new(end.user_micros, end.system_micros, end.peak_memory),
                failure,
            });
        }
        let status = pidfd::exit_status(pidfd)
            .or_else(|| wait::zombie_status(self.pid, pidfd))
            // There is no `/proc`, or it is another user's process: whoever has
            // to collect it does so now, if ever.
            .or_else(|| poll::hangs_up_soon(pidfd).then(|| pidfd::exit_status(pidfd))?);
        match status {
            None => Err(status::lost(failure)),
            Some(status) => Ok(Exit {
                status,
                usage: Usage::default(),
                failure,
            }),
        }
    }
}

/// The last handle is gone. The template kills the child, too, when it sees the
/// pipe closed; this is sooner, and works without it.
impl Drop for Shared {
    fn drop(&mut self) {
        let end = self.end.get_mut().unwrap_or_else(PoisonError::into_inner);
        if self.kill_on_drop && end.is_none() {
            let _ = pidfd::send_signal(self.pidfd.as_fd(), libc::SIGKILL);
        }
    }
}
