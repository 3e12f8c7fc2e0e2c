//! [`Outputs`]: the pipes of one worker, from its start to its exit.
//! RUNS IN: caller

use std::sync::Arc;

use crate::pool::logs::queue::Queue;
use crate::pool::logs::source::Source;

/// The pipes of one worker. Dropped when the worker is gone, or was never there.
pub(crate) struct Outputs {
    queue: Arc<Queue>,
    sources: Vec<Arc<Source>>,
}

impl Outputs {
    pub(crate) fn new(queue: Arc<Queue>, sources: Vec<Arc<Source>>) -> Outputs {
        Outputs { queue, sources }
    }

    /// The worker's pid is known: from now on its pipes are read.
    pub(crate) fn set_pid(&self, pid: u32) {
        let is_news = self
            .sources
            .iter()
            .fold(false, |it, source| it | source.set_pid(pid));
        if is_news {
            self.queue.bell().signal();
        }
    }

    /// The worker gets this call, or has answered the one before, or is gone.
    pub(crate) fn set_call(&self, call: Option<u64>) {
        self.sources.iter().for_each(|it| it.set_call(call));
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.sources.iter().for_each(|it| it.set_exited());
        self.queue.bell().signal();
    }
}
