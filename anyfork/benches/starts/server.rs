//! Systems in a process of their own, which takes orders.
//!
//! The orders are described in `anyevent_fork.pl`; the other servers are
//! `forkserver.py` and, in this program's own file, `bare`.

use std::time::Duration;

use crate::room;
use crate::system::{Result, System};

pub(crate) use crate::orders::Server;
use crate::orders::{PERL, PYTHON};

/// Orders a block.
const STARTS: &str = "starts";

impl System for Server {
    fn name(&self) -> &'static str {
        self.name
    }

    fn block(&mut self, starts: usize) -> Result<Vec<Duration>> {
        let nanos = self.order(STARTS, starts)?;
        Ok(nanos.into_iter().map(Duration::from_nanos).collect())
    }

    fn heap(&mut self, size: usize) -> Result<bool> {
        self.order("heap", 0)?;
        let room = room::has_room_for(size);
        if room {
            self.order("heap", size)?;
        }
        Ok(room)
    }

    fn hold(&mut self, count: usize) -> Result<Option<Vec<u32>>> {
        let pids = self.order("hold", count)?;
        let pids = pids.into_iter().map(u32::try_from);
        Ok(Some(pids.collect::<std::result::Result<_, _>>()?))
    }

    fn release(&mut self) -> Result<()> {
        self.order("release", 0).map(drop)
    }
}

/// The servers in other languages that are installed here.
pub(crate) fn foreign() -> Vec<Server> {
    let proof = (STARTS, 1);
    let perl = PERL.server("AnyEvent::Fork", "starts/anyevent_fork.pl", proof);
    let python = PYTHON.server("CPython forkserver", "starts/forkserver.py", proof);
    perl.into_iter().chain(python).collect()
}
