//! Systems in other languages, each in a process of its own, which takes orders: they are
//! described in `anyevent_fork.pl`.

use std::time::Duration;

use crate::orders::{PERL, PYTHON, Server};
use crate::system::{Processes, Result, System, rate};

pub(crate) const PYTHON_NAME: &str = "CPython ProcessPoolExecutor";
pub(crate) const PERL_NAME: &str = "AnyEvent::Fork";

/// Those that are installed here, with so many workers each.
pub(crate) fn foreign(workers: usize) -> Vec<Server> {
    let proof = ("workers", workers);
    let python = PYTHON.server(PYTHON_NAME, "calls/process_pool.py", proof);
    let perl = PERL.server(PERL_NAME, "calls/anyevent_fork.pl", proof);
    python.into_iter().chain(perl).collect()
}

impl System for Server {
    fn name(&self) -> &'static str {
        self.name
    }

    fn one_by_one(&mut self, span: Duration) -> Result<Vec<Duration>> {
        let nanos = self.order("calls", span.as_nanos() as usize)?;
        Ok(nanos.into_iter().map(Duration::from_nanos).collect())
    }

    fn at_once(&mut self, callers: usize, span: Duration) -> Result<f64> {
        let order = format!("callers-{callers}");
        match self.order(&order, span.as_nanos() as usize)?[..] {
            [made, nanos] => Ok(rate(made, Duration::from_nanos(nanos))),
            _ => Err(format!("{}: `{order}` has two numbers", self.name).into()),
        }
    }

    fn processes(&mut self) -> Result<Processes> {
        let pids = self.order("pids", 0)?;
        let mut pids = pids.into_iter().map(|pid| pid as u32);
        let caller = pids.next().ok_or("a server has a pid")?;
        Ok(Processes {
            caller,
            workers: pids.collect(),
        })
    }
}
