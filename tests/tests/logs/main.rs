//! Promises about what workers of a pool print, and about their spans and events.

mod events_come_home;
mod liars_spoil_their_own_events_only;
mod lines_have_their_call;
mod slow_callbacks_harm_logs_only;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyfork::pool::{Builder, Printed};
use anyfork::{Pool, Process};

#[anyfork::early]
fn preload() {}

/// The lines that came, with the name of their stream.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(&'static str, Printed)>>>);

impl Log {
    /// A pool whose lines come here.
    fn pool(&self) -> Builder {
        let (out, err) = (self.clone(), self.clone());
        Pool::builder(process())
            .stdout(move |line| out.push("out", line))
            .stderr(move |line| err.push("err", line))
    }

    fn push(&self, stream: &'static str, line: &Printed) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((stream, line.clone()));
    }

    /// All so far.
    fn lines(&self) -> Vec<(&'static str, Printed)> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.clone()
    }
}

fn process() -> Process {
    Process::new().expect("a template")
}

/// Ends the pool and everything of it.
fn end(pool: Pool) {
    let ended = pool.shutdown(Duration::from_secs(60));
    drop(pool);
    anyfork_tests::bounded("a shutdown", || ended.blocking()).expect("it ends");
}

/// Waits until no thread of a pool is left, also of one whose callback did not return in time.
fn until_no_thread_is_left() {
    anyfork_tests::until("the pools' threads are gone", || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("a process");
        let names =
            tasks.filter_map(|it| std::fs::read_to_string(it.ok()?.path().join("comm")).ok());
        !names.into_iter().any(|name| name.starts_with("anyfork-"))
    });
}
