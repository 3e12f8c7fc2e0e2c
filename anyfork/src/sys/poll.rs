//! Waiting for descriptors.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::ClockId as Clock;

use crate::sys::fd::above;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Readable,
    Writable,
    /// Nothing but that the peer is gone.
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
/// `false` when the deadline passed first. A pidfd is readable when its process has
/// ended; that it hangs up means that the process was collected.
pub(crate) fn wait_any(
    fds: &[(BorrowedFd<'_>, Interest)],
    deadline: Option<Instant>,
) -> io::Result<bool> {
    poll_until(&mut poll_fds(fds), deadline)
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

/// A descriptor that is readable from a [`notify`] to the next [`attend`]
/// (eventfd(2)).
pub(crate) fn bell() -> io::Result<OwnedFd> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    Ok(EventFd::from_flags(flags)?.into())
}

/// Makes the bell readable. It stays so if it is already.
pub(crate) fn notify(bell: BorrowedFd<'_>) {
    let _ = nix::unistd::write(bell, &1u64.to_ne_bytes());
}

/// Makes it unreadable.
pub(crate) fn attend(bell: BorrowedFd<'_>) {
    let _ = nix::unistd::read(bell, &mut [0; 8]);
}

/// The time since a moment that is the same in all processes, in nanoseconds; it
/// does not go back (clock_gettime(2)).
pub(crate) fn now() -> io::Result<u64> {
    let now = Duration::from(Clock::CLOCK_MONOTONIC.now()?);
    // It is full after 584 years.
    Ok(now.as_nanos() as u64)
}

/// A descriptor that is readable from that moment on (timerfd_create(2)).
#[allow(dead_code, reason = "only those who wait in a runtime need it")]
pub(crate) fn timer(at: Instant) -> io::Result<OwnedFd> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
    // A timer that is set to 0 is none.
    let left = at.saturating_duration_since(Instant::now());
    let left = left.max(Duration::from_nanos(1));
    timer.set(Expiration::OneShot(left.into()), TimerSetTimeFlags::empty())?;
    above(timer.into())
}

/// Whether the other end of a socket is closed.
pub(crate) fn is_hung_up(fd: BorrowedFd<'_>) -> bool {
    is_any(&[(fd, Interest::HungUp)], Duration::ZERO)
}

/// Whether the other end of a socket is closed, or a pidfd's process collected,
/// or is within a tenth of a second.
pub(crate) fn is_hanging_up(fd: BorrowedFd<'_>) -> bool {
    is_any(&[(fd, Interest::HungUp)], Duration::from_millis(100))
}

/// Whether the process behind a pidfd has ended.
pub(crate) fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    is_any(&[(pidfd, Interest::Readable)], Duration::ZERO)
}

/// Whether one of the descriptors is ready or hung up, or is in so much time. One
/// that is not open is not.
pub(crate) fn is_any(fds: &[(BorrowedFd<'_>, Interest)], patience: Duration) -> bool {
    let mut fds = poll_fds(fds);
    let polled = poll_until(&mut fds, Some(Instant::now() + patience));
    let is_ready = |fd: &PollFd<'_>| {
        let events = fd.revents();
        events.is_some_and(|events| events.intersects(!PollFlags::POLLNVAL))
    };
    polled.is_ok() && fds.iter().any(is_ready)
}

/// A set of descriptors to wait for, each with a token (epoll(7)).
pub(crate) struct Set(Epoll);

impl Set {
    pub(crate) fn new() -> io::Result<Set> {
        let Epoll(set) = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Set(Epoll(above(set)?)))
    }

    /// Reports `token` while the descriptor is readable or hung up.
    pub(crate) fn add(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        Ok(self
            .0
            .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Reports `token` while the descriptor is hung up.
    pub(crate) fn add_hung_up(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::empty(), token);
        Ok(self.0.add(fd, event)?)
    }

    /// Reports `token` while the descriptor is readable, or no more; while it is
    /// hung up in any case.
    pub(crate) fn change(&self, fd: impl AsFd, token: u64, readable: bool) -> io::Result<()> {
        let flags = match readable {
            true => EpollFlags::EPOLLIN,
            false => EpollFlags::empty(),
        };
        Ok(self.0.modify(fd, &mut EpollEvent::new(flags, token))?)
    }

    pub(crate) fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(self.0.delete(fd)?)
    }

    /// Waits, for so long at most, and gives the tokens of what is ready: as many
    /// as fit (epoll_pwait2(2)).
    pub(crate) fn wait<'a>(
        &self,
        room: &'a mut [EpollEvent],
        limit: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = u64> + Clone + use<'a>> {
        let n = loop {
            match self.wait_once(room, limit) {
                Err(Errno::EINTR) => {}
                result => break result?,
            }
        };
        Ok(room[..n].iter().map(EpollEvent::data))
    }

    fn wait_once(&self, room: &mut [EpollEvent], limit: Option<Duration>) -> nix::Result<usize> {
        let Some(limit) = limit else {
            return self.0.wait(room, EpollTimeout::NONE);
        };
        if limit.is_zero() {
            return self.0.wait(room, EpollTimeout::ZERO);
        }
        let limit = libc::timespec {
            tv_sec: limit.as_secs() as libc::time_t,
            tv_nsec: limit.subsec_nanos().into(),
        };
        // SAFETY: there is room for so many events, whose type has the kernel's
        // layout; the signal mask stays.
        let ready = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0.0.as_raw_fd(),
                room.as_mut_ptr(),
                room.len(),
                &raw const limit,
                std::ptr::null::<libc::sigset_t>(),
                0,
            )
        };
        match Errno::result(ready) {
            // Before Linux 5.11; the shortest time that there is.
            Err(Errno::ENOSYS) => self.0.wait(room, 1u8),
            result => result.map(|ready| ready as usize),
        }
    }
}

/// The set is itself a descriptor, readable while one of them is ready.
impl From<Set> for OwnedFd {
    fn from(set: Set) -> OwnedFd {
        set.0.0
    }
}

/// Room for the events of one [`Set::wait`].
pub(crate) fn events<const N: usize>() -> [EpollEvent; N] {
    [EpollEvent::empty(); N]
}
