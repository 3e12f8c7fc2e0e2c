//! [`StatusPipe`]: reads from a status pipe why a child failed, and how it exited.
//! RUNS IN: caller
//!
//! A child may write into its pipe what it likes, without end. So the pipe is read for
//! no more bytes than a child and its template have to write, and no more at all after
//! something else than that.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "tokio")]
use crate::caller::wait::registration::{Registered, Registry};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::protocol::Malformed;
use crate::protocol::status;
use crate::protocol::status::Frame;
use crate::sys::fd;

/// The pipe, and the frames that were read from it. Several threads may read at the
/// same time.
#[derive(Debug)]
pub(crate) struct StatusPipe {
    pipe: Arc<OwnedFd>,
    #[cfg(feature = "tokio")]
    registry: Registry,
    frames: Mutex<Frames>,
}

#[derive(Debug, Default)]
struct Frames {
    /// The bytes of an incomplete frame.
    rest: Vec<u8>,
    /// The last bytes that were read, as many as a record has.
    last: Vec<u8>,
    failure: Option<Failure>,
    exit: Option<Exit>,
    /// What the child has written of its exit.
    own_exit: Option<Exit>,
    /// Number of bytes that were read.
    read: usize,
    /// Whether there was something else in the pipe than a report and a record.
    is_spoiled: bool,
}

/// The record of a child's exit.
#[derive(Debug)]
pub(crate) enum Record {
    /// Not written yet: the child runs, or its template has not reaped it.
    Pending,
    Exit(Exit),
    /// Written by the child itself, without the usage. The template's is to follow, unless
    /// the pipe is at its end.
    OwnExit {
        exit: Exit,
        at_end: bool,
    },
    /// Never written: every process that could write it has exited.
    Lost,
    /// The pipe has something else in it: no record that comes can be found.
    Spoiled,
}

impl StatusPipe {
    pub(crate) fn new(pipe: OwnedFd) -> StatusPipe {
        let pipe = Arc::new(pipe);
        StatusPipe {
            #[cfg(feature = "tokio")]
            registry: Registry::new(&pipe),
            pipe,
            frames: Mutex::default(),
        }
    }

    /// The pipe, registered with the runtime of this task.
    #[cfg(feature = "tokio")]
    pub(crate) fn register(&self) -> Result<Arc<Registered>> {
        self.registry.register()
    }

    /// Reads the frames that have come, without waiting, up to the record: at most what
    /// belongs into the pipe, over all calls.
    pub(crate) fn try_read(&self) -> Result<Record> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = [0; 4096];
        loop {
            if let Some(exit) = &frames.exit {
                return Ok(Record::Exit(exit.clone()));
            }
            if frames.is_spoiled {
                return Ok(Record::Spoiled);
            }
            match fd::read(self.pipe.as_fd(), &mut buffer) {
                Ok(0) => {
                    if !frames.rest.is_empty() {
                        frames.take_last();
                    }
                    if frames.exit.is_none() {
                        return Ok(frames.own_exit(true).unwrap_or(Record::Lost));
                    }
                }
                Ok(n) => frames.take(&buffer[..n]),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        return Ok(frames.own_exit(false).unwrap_or(Record::Pending));
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(Error::io("read a worker's status", error)),
                },
            }
        }
    }

    /// Why the child failed, if it has written that, and it was read.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.failure.clone()
    }
}

impl Frames {
    /// The exit as the child has written it, with its failure.
    fn own_exit(&self, at_end: bool) -> Option<Record> {
        let exit = self.own_exit.clone()?;
        let failure = self.failure.clone();
        let exit = Exit { failure, ..exit };
        Some(Record::OwnExit { exit, at_end })
    }

    /// Takes the record that may be the last bytes behind something that is no frame: a
    /// child may have written half a frame, which the template's record seems to complete.
    fn take_last(&mut self) {
        if let Ok(Some((Frame::Exit(exit), []))) = status::take(&self.last) {
            let failure = self.failure.clone();
            self.exit = Some(Exit { failure, ..exit });
        }
    }

    /// Takes the complete frames out of the bytes, and keeps the rest.
    fn take(&mut self, bytes: &[u8]) {
        self.read += bytes.len();
        self.rest.extend_from_slice(bytes);
        self.last.extend_from_slice(bytes);
        let before = self.last.len().saturating_sub(status::RECORD_LEN);
        self.last.drain(..before);
        let all = mem::take(&mut self.rest);
        let mut rest = &all[..];
        while self.exit.is_none() {
            match status::take(rest) {
                Ok(Some((Frame::Failure(failure), behind))) if self.failure.is_none() => {
                    self.failure = Some(failure);
                    rest = behind;
                }
                Ok(Some((Frame::OwnExit(exit), behind))) if self.own_exit.is_none() => {
                    self.own_exit = Some(exit);
                    rest = behind;
                }
                Ok(Some((Frame::Exit(exit), []))) => {
                    let failure = self.failure.clone();
                    self.exit = Some(Exit { failure, ..exit });
                    return;
                }
                Ok(None) if self.read < status::MAX_FRAMES => {
                    self.rest = rest.to_vec();
                    return;
                }
                // Behind a record is nothing, either: a part of it was the child's.
                Ok(_) | Err(_) => {
                    self.take_last();
                    self.is_spoiled = self.exit.is_none();
                    return;
                }
            }
        }
    }
}

impl AsFd for StatusPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// The error for a child that is not ready and has something else in its status pipe.
pub(crate) fn spoiled() -> Error {
    Malformed::Because("its status pipe holds something other than a failure and an exit").into()
}

/// The error for a status that no process and no kernel reports.
pub(crate) fn lost(failure: Option<Failure>) -> Error {
    let message = "the worker has ended and its status is lost: its template was killed before it \
                   could report the status, and this kernel does not keep it (Linux 6.15 and later do)";
    Error::died(message, Exit::unknown(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exit code that the pipe tells once it is at its end.
    fn code_of(writes: &[&[u8]]) -> Option<i32> {
        let (read, write) = fd::nonblocking_pipe().unwrap();
        for bytes in writes {
            assert_eq!(nix::unistd::write(&write, bytes).unwrap(), bytes.len());
        }
        drop(write);
        match StatusPipe::new(read).try_read().unwrap() {
            Record::Exit(exit) => exit.code(),
            _ => None,
        }
    }

    #[test]
    fn half_a_frame_shifts_no_record() {
        let record = status::encode_exit(3 << 8, 1, 2, 3);
        let success = status::encode_exit(0, 0, 0, 0);
        let long = [2, 0, 0, 0, 200, 0, 0, 0, 1, 0, 0];
        assert_eq!(code_of(&[&record]), Some(3));
        for len in 1..success.len() {
            assert_eq!(code_of(&[&success[..len], &record]), Some(3), "{len}");
        }
        for len in 1..long.len() {
            assert_eq!(code_of(&[&long[..len], &record]), Some(3), "{len}");
        }
        assert_eq!(code_of(&[&success, &record]), Some(3));
        assert_eq!(code_of(&[&record, b"x"]), None);
    }
}
