//! Waiting in a thread that may block (poll(2)).
//! RUNS IN: caller

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

use crate::caller::child::exit_watch::{ExitState, ExitWatch};
use crate::caller::spawn::wait_for::{INTERVAL, WaitFor};
use crate::caller::spawn::{Progress, Spawn};
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::wait::shortage::Operation;
use crate::caller::wait::sources::with_sources;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::sys::poll;
use crate::sys::poll::Interest;

/// Waits until a child is ready.
pub(crate) fn ready(mut spawn: Spawn<UnixStream>) -> Result<(UnixStream, ExitWatch)> {
    let (_operation, mut was_last) = (Operation::begin(), false);
    loop {
        match spawn.step()? {
            Progress::Ready(watch) => return Ok((spawn.into_socket(), watch)),
            Progress::WaitFor(wait) => was_last = event(&spawn, wait, was_last)?,
        }
    }
}

/// Waits until everything is sent, and returns the reply socket.
pub(crate) fn sent(mut spawn: Spawn<UnixStream>) -> Result<UnixStream> {
    let mut was_last = false;
    while let Some(wait) = spawn.send_step()? {
        was_last = event(&spawn, wait, was_last)?;
    }
    Ok(spawn.into_socket())
}

/// Waits for the event that a spawn needs, or for the spawn's deadline, which is an
/// error. Returns whether this was the last event: events that come without end do not
/// put the deadline off.
fn event(spawn: &Spawn<UnixStream>, wait: WaitFor, was_last: bool) -> Result<bool> {
    if was_last {
        return Err(Error::too_late(spawn.what()));
    }
    let came = if wait == WaitFor::Later {
        thread::sleep(INTERVAL);
        Ok(spawn.deadline().is_none_or(|it| Instant::now() < it))
    } else {
        with_sources(spawn, wait, |fds| poll::wait_any(fds, spawn.deadline()))
    };
    match came {
        Ok(true) => Ok(spawn.deadline().is_some_and(|it| Instant::now() >= it)),
        Ok(false) => Err(Error::too_late(spawn.what())),
        Err(error) => Err(Error::io(format!("wait for `{}`", spawn.what()), error)),
    }
}

/// Waits for a child's exit. `None`: the deadline was first.
pub(crate) fn exit(watch: &ExitWatch, deadline: Option<Instant>) -> Result<Option<Exit>> {
    let _operation = Operation::begin();
    loop {
        let state = match watch.try_wait()? {
            ExitState::Exited(exit) => return Ok(Some(exit)),
            state => state,
        };
        let look = watch.next_look();
        let first = look.into_iter().chain(deadline).min();
        let came = poll::wait_any(&watch.sources(&state), first);
        // Another look may give the exit without an event.
        let may_have_come = look.is_some() && first == look;
        if !came.map_err(|error| Error::io("wait for a worker", error))? && !may_have_come {
            return Ok(None);
        }
    }
}

/// Waits until a template is prepared.
pub(crate) fn prepared(template: &TemplateHandle, deadline: Option<Instant>) -> Result<()> {
    while let Some(reply) = template.try_prepared()? {
        let came = poll::wait(reply.as_fd(), Interest::Readable, deadline);
        if !came.map_err(failed_template)? {
            return Err(Error::too_late("the preparation of a template"));
        }
    }
    Ok(())
}

/// Has a template keep so many spares, and waits until there is room for the message.
pub(crate) fn keep_warm(
    template: &TemplateHandle,
    count: u32,
    deadline: Option<Instant>,
) -> Result<()> {
    while !template.try_keep_warm(count)? {
        let exit_fd = template.exit_fd();
        let mut fds = vec![(template.control(), Interest::Writable)];
        fds.extend(exit_fd.as_ref().map(|it| (it.as_fd(), Interest::Readable)));
        if !poll::wait_any(&fds, deadline).map_err(failed_template)? {
            return Err(Error::too_late("a template"));
        }
    }
    Ok(())
}

fn failed_template(error: io::Error) -> Error {
    Error::io("wait for a template", error)
}
