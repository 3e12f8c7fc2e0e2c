//! [`Live`]: a worker's process, from its start to its exit.
//! RUNS IN: caller

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use crate::caller::child::exit_watch::ExitWatch;
#[cfg(feature = "tokio")]
use crate::caller::wait::socket::SocketReadiness;
use crate::exit::Exit;
use crate::pool::base::Base;
use crate::pool::connection::{Connection, WaitFor};
use crate::pool::entered::EnteredPage;
use crate::pool::launched::Launched;
use crate::pool::logs::outputs::Outputs;
use crate::pool::several::Several;
use crate::pool::state::event::CallId;

/// A worker's process.
pub(crate) enum Live {
    Starting(Starting),
    Up(Box<Up>),
}

/// A process that is being started.
pub(crate) struct Starting {
    /// `None`: a thread is at it, without the lock.
    pub(crate) launch: Option<Box<Launched>>,
    pub(crate) base: Arc<Base>,
    /// Whoever is at it must kill it.
    pub(crate) is_killed: bool,
    /// It was tried once more after its template was gone.
    pub(crate) is_retried: bool,
}

/// A worker that is ready.
pub(crate) struct Up {
    /// `None`: a thread sends or reads, without the lock.
    pub(crate) line: Option<Box<Line>>,
    /// The line's socket, for those who wait without the lock.
    pub(crate) socket: Arc<UnixStream>,
    #[cfg(feature = "tokio")]
    pub(crate) readiness: Option<Arc<SocketReadiness>>,
    /// What the next step of the line needs.
    pub(crate) wait: WaitFor,
    pub(crate) watch: ExitWatch,
    pub(crate) page: EnteredPage,
    /// What it prints. `None`: nobody wants to know.
    pub(crate) outputs: Option<Outputs>,
    /// Its call, if it has one at a time.
    pub(crate) call: Option<CallId>,
    /// Its calls, if it may have several at once.
    pub(crate) several: Option<Box<Several>>,
    /// Its socket was readable then, and its call's owner has not read.
    pub(crate) unread_since: Option<Instant>,
    /// The watcher waits for its socket.
    pub(crate) is_watched: bool,
    /// It has closed its end of the socket.
    pub(crate) ended: Option<Instant>,
    /// It has exited, and its template has not reported it.
    pub(crate) awaits_record: bool,
    /// Whether its template has reported that, and is about to reap it.
    pub(crate) is_reported: bool,
    pub(crate) exit: Option<Exit>,
}

/// The conversation with a worker. One thread at a time has it.
pub(crate) struct Line {
    pub(crate) connection: Connection,
    pub(crate) pid: u32,
    /// Number of private bytes after its init.
    pub(crate) memory: u64,
}

/// Nothing is left to send.
pub(crate) const READABLE: WaitFor = WaitFor {
    readable: true,
    writable: false,
    later: false,
};

impl Up {
    /// Whether the worker has any call.
    pub(crate) fn has_calls(&self) -> bool {
        let several = self.several.as_ref();
        self.call.is_some() || several.is_some_and(|it| !it.given.is_empty())
    }

    /// What sending waits for, to a worker that may have several calls.
    pub(crate) fn unsent_several(&self) -> Option<WaitFor> {
        self.several.as_ref().and_then(|it| it.unsent)
    }

    /// Whether the owner of the call may wait for what the worker sends.
    pub(crate) fn may_read(&self, call: CallId) -> bool {
        match &self.several {
            None => self.call == Some(call),
            Some(several) => several.given.iter().any(|it| it.call == call && it.runs),
        }
    }

    /// Whether a part of the request is not sent.
    pub(crate) fn is_unsent(&self) -> bool {
        self.wait.writable || self.wait.later
    }
}
