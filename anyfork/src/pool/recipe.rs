//! [`Recipe`]: what a pool is made of.
//! RUNS IN: caller

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Instant;

use crate::error::Result;
use crate::pool::base::Newest;
use crate::pool::core::{Options, Shared};
use crate::pool::limits::Limits;
use crate::pool::logs::Logs;
use crate::pool::state::State;
use crate::pool::state::event::Event;
use crate::pool::watcher;

/// What a pool is made of, to be made again in a process that the program forks.
pub(crate) struct Recipe {
    pub(crate) limits: Limits,
    pub(crate) options: Arc<Options>,
    /// A renewal replaces it.
    pub(crate) base: Arc<Newest>,
}

impl Recipe {
    pub(crate) fn make(&self) -> Result<Arc<Shared>> {
        let seed = RandomState::new().hash_one(0);
        let state = State::new(self.limits.clone(), Instant::now(), seed);
        let (base, options) = (Arc::clone(&self.base), Arc::clone(&self.options));
        let logs = Logs::start(&options.printed)?;
        let for_pool = logs.clone();
        let attached = watcher::attach(|bell, mark| {
            if let Some(logs) = &for_pool {
                logs.set_watcher(Arc::clone(&bell));
            }
            Shared::new(state, base, options, for_pool, bell, mark)
        });
        if let (Err(_), Some(logs)) = (&attached, logs) {
            logs.end();
        }
        let shared = attached?;
        // The first idle workers.
        shared.tell_alone(Event::Tick);
        Ok(shared)
    }
}
