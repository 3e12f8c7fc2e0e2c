//! Waiting for a few descriptors (poll(2)).
//! RUNS IN: any

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Readable,
    Writable,
    /// Only that the peer is gone.
    HungUp,
}

impl Interest {
    fn flags(self) -> PollFlags {
        match self {
            Interest::Readable => PollFlags::POLLIN,
            Interest::Writable => PollFlags::POLLOUT,
            Interest::HungUp => PollFlags::empty(),
        }
    }
}

/// Waits until the descriptor is ready or its peer is gone (poll(2)); `false`
/// when the deadline passed first.
pub(crate) fn wait(
    fd: BorrowedFd<'_>,
    interest: Interest,
    deadline: Option<Instant>,
) -> io::Result<bool> {
    poll_until(&mut [PollFd::new(fd, interest.flags())], deadline)
}

/// Waits until one of the descriptors is ready or its peer is gone (poll(2));
/// `false` when the deadline passed first. A pidfd is readable when its process
/// has exited, and hung up when the process was reaped.
pub(crate) fn wait_any(
    fds: &[(BorrowedFd<'_>, Interest)],
    deadline: Option<Instant>,
) -> io::Result<bool> {
    poll_until(&mut poll_fds(fds), deadline)
}

/// Waits as [`wait_any`], and says of each descriptor whether it is ready (poll(2)).
pub(crate) fn wait_each(
    fds: &[(BorrowedFd<'_>, Interest)],
    deadline: Option<Instant>,
) -> io::Result<Vec<bool>> {
    let mut fds = poll_fds(fds);
    poll_until(&mut fds, deadline)?;
    Ok(fds.iter().map(|fd| fd.any().unwrap_or(true)).collect())
}

/// Whether the other end of a socket is closed (poll(2)).
pub(crate) fn is_hung_up(fd: BorrowedFd<'_>) -> bool {
    is_any_ready(&[(fd, Interest::HungUp)], Duration::ZERO)
}

/// Whether the other end of a socket sends no more (`POLLRDHUP`, poll(2)). So it is where
/// nothing can be asked, as under a limit of no descriptors (`EINVAL`): whoever asks has
/// read what looks like the end.
pub(crate) fn is_at_end(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(
        fd,
        PollFlags::from_bits_retain(libc::POLLRDHUP),
    )];
    let polled = poll_until(&mut fds, Some(Instant::now()));
    polled.unwrap_or(true)
}

/// Whether there is something to read, or the end (poll(2)).
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    is_any_ready(&[(fd, Interest::Readable)], Duration::ZERO)
}

/// Whether, within a tenth of a second, the other end of a socket is closed, or
/// the process of a pidfd was reaped (poll(2)).
pub(crate) fn hangs_up_soon(fd: BorrowedFd<'_>) -> bool {
    is_any_ready(&[(fd, Interest::HungUp)], Duration::from_millis(100))
}

/// Whether one of the descriptors is ready or hung up within the timeout
/// (poll(2)). A descriptor that is not open never is.
pub(crate) fn is_any_ready(fds: &[(BorrowedFd<'_>, Interest)], timeout: Duration) -> bool {
    let mut fds = poll_fds(fds);
    let polled = poll_until(&mut fds, Some(Instant::now() + timeout));
    let is_ready = |fd: &PollFd<'_>| {
        let events = fd.revents();
        events.is_some_and(|events| events.intersects(!PollFlags::POLLNVAL))
    };
    polled.is_ok() && fds.iter().any(is_ready)
}

fn poll_fds<'a>(fds: &[(BorrowedFd<'a>, Interest)]) -> Vec<PollFd<'a>> {
    let fds = fds.iter();
    fds.map(|(fd, interest)| PollFd::new(*fd, interest.flags()))
        .collect()
}

fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            // A whole millisecond more, or the last one would be spent spinning.
            let left = deadline.saturating_duration_since(Instant::now());
            let left = if left.is_zero() {
                left
            } else {
                left + Duration::from_millis(1)
            };
            left.try_into().unwrap_or(PollTimeout::MAX)
        });
        match poll(fds, timeout) {
            Err(Errno::EINTR) => {}
            Ok(0) if deadline.is_some_and(|deadline| Instant::now() < deadline) => {}
            result => return Ok(result? > 0),
        }
    }
}

/// Reads two pipes to their ends at the same time (poll(2)).
pub(crate) fn read_both(pipes: [Option<OwnedFd>; 2]) -> io::Result<[Vec<u8>; 2]> {
    let mut pipes = pipes.map(|pipe| pipe.map(File::from));
    let mut all = [Vec::new(), Vec::new()];
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let open = |pipe: &Option<File>| pipe.is_some();
        if let [true, false] | [false, true] = [open(&pipes[0]), open(&pipes[1])] {
            for (pipe, all) in pipes.iter_mut().zip(&mut all) {
                if let Some(mut pipe) = pipe.take() {
                    pipe.read_to_end(all)?;
                }
            }
        }
        let [Some(one), Some(other)] = &pipes else {
            return Ok(all);
        };
        let wanted = |file| PollFd::new(file, PollFlags::POLLIN);
        let mut fds = [wanted(one.as_fd()), wanted(other.as_fd())];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        let ready = fds.map(|fd| fd.any().unwrap_or(true));
        for ((pipe, all), _) in pipes.iter_mut().zip(&mut all).zip(ready).filter(|it| it.1) {
            let Some(file) = pipe else { continue };
            match file.read(&mut buffer)? {
                0 => *pipe = None,
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
    }
}
