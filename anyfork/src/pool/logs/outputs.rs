//! [`Outputs`]: the pipes of one worker, from its start to its exit.
//! RUNS IN: caller

use std::sync::Arc;

use crate::pool::logs::queue::Queue;
use crate::pool::logs::source::Source;
use crate::pool::logs::told::Current;
use crate::pool::trace::Home;

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
        let news = self.sources.iter().filter(|it| it.set_pid(pid));
        if news.count() > 0 {
            self.queue.bell().signal();
        }
    }

    /// The worker gets a call.
    pub(crate) fn begin_call(&self, id: u64, home: &Home) {
        for source in &self.sources {
            let home = home.clone();
            source.begin_call(Current { id, home });
        }
    }

    /// The worker has answered that call, or is gone with all that it has. Gives what is to
    /// be dropped without a lock: it may run others' code.
    #[must_use = "it is dropped without a lock"]
    pub(crate) fn end_call(&self, id: Option<u64>) -> Vec<Home> {
        let ended = self.sources.iter().flat_map(|it| it.end_call(id));
        ended.map(|call| call.home).collect()
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.sources.iter().for_each(|it| it.set_exited());
        self.queue.bell().signal();
    }
}
