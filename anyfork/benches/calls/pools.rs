//! anyfork's pool, with callers that are threads, tasks of one thread, and tasks of a
//! runtime with a thread a CPU.

use std::process;
use std::time::{Duration, Instant};

use anyfork::{Pool, Process};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::system::{self, Processes, Result, System, rate};

pub(crate) const BLOCKING: &str = "anyfork .blocking()";
pub(crate) const AWAIT: &str = "anyfork .await";
pub(crate) const AWAIT_THREADS: &str = "anyfork .await, multi-thread";

/// The smallest call: what all systems are asked to do.
#[anyfork::call]
pub(crate) fn next(number: u64) -> u64 {
    number + 1
}

/// A pool of so many workers that are there already.
pub(crate) fn pool(workers: usize) -> Result<Pool> {
    let builder = Pool::builder(Process::new()?).max(workers);
    let pool = builder.idle(workers).build()?;
    pool.prepare().blocking()?;
    Ok(pool)
}

/// One call.
pub(crate) fn call(pool: &Pool) -> Result<()> {
    match next::call(pool, 7).blocking()? {
        8 => Ok(()),
        wrong => Err(format!("8 became {wrong}").into()),
    }
}

/// Its callers are threads.
pub(crate) struct Threads(pub(crate) Pool);

/// Its callers are tasks.
pub(crate) struct Tasks {
    name: &'static str,
    pool: Pool,
    runtime: Runtime,
}

impl Tasks {
    /// Tasks of the thread that measures.
    pub(crate) fn new(pool: Pool) -> Result<Tasks> {
        Ok(Tasks {
            name: AWAIT,
            pool,
            runtime: Builder::new_current_thread().enable_all().build()?,
        })
    }

    /// Tasks of a thread a CPU.
    pub(crate) fn of_threads(pool: Pool) -> Result<Tasks> {
        Ok(Tasks {
            name: AWAIT_THREADS,
            pool,
            runtime: Builder::new_multi_thread().enable_all().build()?,
        })
    }
}

impl System for Threads {
    fn name(&self) -> &'static str {
        BLOCKING
    }

    fn one_by_one(&mut self, span: Duration) -> Result<Vec<Duration>> {
        system::one_by_one(span, || call(&self.0))
    }

    fn at_once(&mut self, callers: usize, span: Duration) -> Result<f64> {
        system::at_once(&mut vec![(); callers], span, |()| call(&self.0))
    }

    fn processes(&mut self) -> Result<Processes> {
        Ok(processes(&self.0))
    }
}

impl System for Tasks {
    fn name(&self) -> &'static str {
        self.name
    }

    fn one_by_one(&mut self, span: Duration) -> Result<Vec<Duration>> {
        self.runtime.block_on(async {
            let mut times = Vec::new();
            let first = Instant::now();
            let mut begun = first;
            while begun - first < span {
                next::call(&self.pool, 7).await?;
                let ended = Instant::now();
                times.push(ended - begun);
                begun = ended;
            }
            Ok(times)
        })
    }

    fn at_once(&mut self, callers: usize, span: Duration) -> Result<f64> {
        self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..callers {
                tasks.spawn(caller(self.pool.clone(), span));
            }
            let rates = tasks.join_all().await;
            Ok(rates.into_iter().sum::<anyfork::Result<f64>>()?)
        })
    }

    fn processes(&mut self) -> Result<Processes> {
        Ok(processes(&self.pool))
    }
}

/// A task that makes one call after another.
async fn caller(pool: Pool, span: Duration) -> anyfork::Result<f64> {
    let (begun, mut made) = (Instant::now(), 0);
    while begun.elapsed() < span {
        next::call(&pool, 7).await?;
        made += 1;
    }
    Ok(rate(made, begun.elapsed()))
}

fn processes(pool: &Pool) -> Processes {
    Processes {
        caller: process::id(),
        workers: pool.workers().iter().map(|it| it.pid()).collect(),
    }
}
