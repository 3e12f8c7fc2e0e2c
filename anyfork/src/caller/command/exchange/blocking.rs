//! An exchange with a program in a thread that may block (poll(2)).
//! RUNS IN: caller

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use crate::caller::child::exit_watch::ExitState;
use crate::caller::command::exchange::{CHUNK, Exchange, unread, unwritten};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::sys::poll::{self, Interest};
use crate::sys::{fd, signal};

/// The input that was not written yet.
struct Input {
    pipe: OwnedFd,
    bytes: Arc<Vec<u8>>,
    written: usize,
}

/// Writes and reads until all is done.
pub(crate) fn run(
    mut exchange: Exchange,
    stdin: Option<OwnedFd>,
    mut streams: [Option<OwnedFd>; 2],
) -> Result<(Exit, [Vec<u8>; 2])> {
    for pipe in stdin.iter().chain(streams.iter().flatten()) {
        let set = fd::set_nonblocking(pipe.as_fd());
        set.map_err(|error| Error::io("make a pipe non-blocking", error))?;
    }
    let bytes = exchange.terms.bounds.input.take();
    let mut input = stdin.zip(bytes).map(|(pipe, bytes)| Input {
        pipe,
        bytes,
        written: 0,
    });
    let mut ready = [true, false, false];
    let mut buffer = vec![0; CHUNK];
    loop {
        if ready[0] {
            input = write(input)?;
        }
        for (stream, pipe) in streams.iter_mut().enumerate() {
            if ready[stream + 1] {
                read(&mut exchange, stream, pipe, &mut buffer)?;
            }
        }
        let state = exchange.look()?;
        let now = Instant::now();
        if exchange.is_done(now) {
            drop(input);
            let rest = streams.each_ref();
            return exchange.finish(rest.map(|pipe| pipe.as_ref().map(AsFd::as_fd)));
        }
        if exchange.act(now) {
            ready = [false; 3];
            continue;
        }
        ready = wait(&exchange, state, input.as_ref(), &streams)?;
    }
}

/// Waits for an event, or for the time of the next look. Returns which of the pipes are
/// ready.
fn wait(
    exchange: &Exchange,
    state: Option<ExitState>,
    input: Option<&Input>,
    streams: &[Option<OwnedFd>; 2],
) -> Result<[bool; 3]> {
    let watch = &exchange.watch;
    let mut deadline = exchange.next_look(Instant::now());
    let mut fds = Vec::with_capacity(5);
    let mut pipes = Vec::with_capacity(3);
    if let Some(input) = input {
        pipes.push(0);
        fds.push((input.pipe.as_fd(), Interest::Writable));
    }
    for (stream, pipe) in streams.iter().enumerate() {
        if let Some(pipe) = pipe {
            pipes.push(stream + 1);
            fds.push((pipe.as_fd(), Interest::Readable));
        }
    }
    fds.extend(state.iter().flat_map(|state| watch.sources(state)));
    if let Some(ExitState::AwaitsRecord | ExitState::AwaitsReap) = state {
        deadline = watch.next_look().into_iter().chain(deadline).min();
    }
    let came = poll::wait_each(&fds, deadline);
    let came =
        came.map_err(|error| Error::io(format!("wait for `{}`", exchange.terms.what), error))?;
    let mut ready = [false; 3];
    for (pipe, came) in pipes.into_iter().zip(came) {
        ready[pipe] = came;
    }
    Ok(ready)
}

/// Writes what there is room for. `None`: there is no more, or nobody who reads it.
fn write(input: Option<Input>) -> Result<Option<Input>> {
    let Some(mut input) = input else {
        return Ok(None);
    };
    loop {
        let rest = &input.bytes[input.written..];
        if rest.is_empty() {
            return Ok(None);
        }
        match signal::without_sigpipe(|| fd::write(input.pipe.as_fd(), rest)) {
            Ok(n) => input.written += n,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(Some(input)),
                io::ErrorKind::BrokenPipe => return Ok(None),
                io::ErrorKind::Interrupted => {}
                _ => return Err(unwritten(error)),
            },
        }
    }
}

/// Reads once, and closes the stream at its end.
fn read(
    exchange: &mut Exchange,
    stream: usize,
    pipe: &mut Option<OwnedFd>,
    buffer: &mut [u8],
) -> Result<()> {
    let Some(fd) = pipe else {
        return Ok(());
    };
    match fd::read(fd.as_fd(), buffer) {
        Ok(n) => {
            exchange.take(stream, &buffer[..n]);
            if n == 0 {
                *pipe = None;
            }
            Ok(())
        }
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
            _ => Err(unread(error)),
        },
    }
}
