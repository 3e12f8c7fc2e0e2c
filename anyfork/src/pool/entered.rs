//! [`EnteredPage`]: the number of the call that a worker has entered.
//! RUNS IN: caller
//!
//! A worker stores the number of a call in a page that it shares with its caller, before
//! any code of the user's runs for that call. When the worker is gone, the caller looks
//! there: sockets alone cannot tell whether a request that was delivered was also read.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use crate::sys::shared_page;

/// The caller's side of the page.
#[derive(Debug)]
pub(crate) struct EnteredPage(File);

impl EnteredPage {
    /// A page for a new worker, and the descriptor to send to that worker.
    pub(crate) fn new() -> io::Result<(EnteredPage, OwnedFd)> {
        let file = shared_page::create()?;
        let sent = file.try_clone()?;
        Ok((EnteredPage(file.into()), sent))
    }

    /// Whether the worker has entered the call of that number. Numbers of calls rise, and a
    /// worker takes them one after the other. A page that cannot be read says yes: a call
    /// that may have been entered is never repeated.
    pub(crate) fn has_entered(&self, number: u64) -> bool {
        shared_page::read(&self.0).map_or(true, |entered| entered >= number)
    }
}
