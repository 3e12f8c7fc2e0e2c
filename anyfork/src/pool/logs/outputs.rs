//! [`Outputs`]: the pipes of one worker, from its start to its exit.
//! RUNS IN: caller

use std::sync::Arc;

use crate::pool::logs::Logs;
use crate::pool::logs::source::Source;

/// The pipes of one worker. Dropped when the worker is gone, or was never there.
pub(crate) struct Outputs {
    logs: Arc<Logs>,
    sources: Vec<Arc<Source>>,
}

impl Outputs {
    pub(crate) fn new(logs: Arc<Logs>, sources: Vec<Arc<Source>>) -> Outputs {
        Outputs { logs, sources }
    }

    /// The worker's pid is known: from now on its pipes are read.
    pub(crate) fn set_pid(&self, pid: u32) {
        let is_news = self
            .sources
            .iter()
            .fold(false, |it, source| it | source.set_pid(pid));
        if is_news {
            self.logs.wake();
        }
    }

    /// The worker gets a call.
    pub(crate) fn set_call(&self, call: u64) {
        self.sources.iter().for_each(|it| it.set_call(call));
    }

    /// The worker has answered its call, or is gone: what its pipes have is of that call.
    pub(crate) fn end_call(&self) {
        self.sources.iter().for_each(|it| it.end_call(&self.logs));
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.sources.iter().for_each(|it| it.set_exited());
        self.logs.wake();
    }
}
