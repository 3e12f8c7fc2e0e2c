//! The pool of the crate procspawn, whose callers are threads.

use std::process;
use std::thread;
use std::time::Duration;

use procspawn::Pool;

use crate::system::{self, Processes, Result, System};

pub(crate) const NAME: &str = "procspawn's pool";

/// Time in which each worker of an idle pool has been given a function.
const TIMEOUT_BUSY: Duration = Duration::from_millis(200);

pub(crate) struct Functions {
    pool: Pool,
    workers: Vec<u32>,
}

impl Functions {
    pub(crate) fn new(workers: usize) -> Result<Functions> {
        let pool = Pool::new(workers)?;
        // As many as there are workers at once: one in each.
        let busy = |_| {
            pool.spawn((), |()| {
                thread::sleep(TIMEOUT_BUSY);
                process::id()
            })
        };
        let busy: Vec<_> = (0..workers).map(busy).collect();
        let pids = busy.into_iter().map(|handle| handle.join());
        let workers = pids.collect::<std::result::Result<_, _>>()?;
        Ok(Functions { pool, workers })
    }
}

fn call(pool: &Pool) -> Result<()> {
    match pool.spawn(7u64, |number| number + 1).join()? {
        8 => Ok(()),
        wrong => Err(format!("8 became {wrong}").into()),
    }
}

impl System for Functions {
    fn name(&self) -> &'static str {
        NAME
    }

    fn one_by_one(&mut self, span: Duration) -> Result<Vec<Duration>> {
        system::one_by_one(span, || call(&self.pool))
    }

    fn at_once(&mut self, callers: usize, span: Duration) -> Result<f64> {
        system::at_once(&mut vec![(); callers], span, |()| call(&self.pool))
    }

    fn processes(&mut self) -> Result<Processes> {
        Ok(Processes {
            caller: process::id(),
            workers: self.workers.clone(),
        })
    }
}
