//! The monotonic clock (clock_gettime(2)), and timers on it.
//! RUNS IN: any

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::ClockId as Clock;

use crate::sys::fd::above_standard;

/// Nanoseconds of the monotonic clock, which all processes of the system share and
/// which never goes back (clock_gettime(2)).
pub(crate) fn monotonic_nanos() -> io::Result<u64> {
    let now = Duration::from(Clock::CLOCK_MONOTONIC.now()?);
    // A u64 is full after 584 years.
    Ok(now.as_nanos() as u64)
}

/// A descriptor that is readable from that moment on (timerfd_create(2)).
#[allow(dead_code, reason = "only those who wait in a runtime need it")]
pub(crate) fn timer(at: Instant) -> io::Result<OwnedFd> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
    // A timer that is set to 0 is disarmed.
    let left = at.saturating_duration_since(Instant::now());
    let left = left.max(Duration::from_nanos(1));
    timer.set(Expiration::OneShot(left.into()), TimerSetTimeFlags::empty())?;
    above_standard(timer.into())
}
