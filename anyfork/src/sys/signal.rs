//! This process's signal actions and its signal mask (signal(7)).
//! RUNS IN: program before main, template, child, spare, monitor

use std::io;
use std::mem;
use std::ptr;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// Sets every action to the default, and SIGPIPE to ignored, as a Rust `main`
/// finds them (signal(2)).
pub(crate) fn reset_actions() {
    for signal in 1..=libc::SIGRTMAX() {
        let action = match signal {
            libc::SIGKILL | libc::SIGSTOP => continue,
            libc::SIGPIPE => libc::SIG_IGN,
            _ => libc::SIG_DFL,
        };
        // The C library refuses the two real-time signals that it keeps for
        // itself.
        // SAFETY: neither action runs code.
        unsafe { libc::signal(signal, action) };
    }
}

/// Sets SIGPIPE to its default, as external programs expect it (signal(2)).
pub(crate) fn reset_sigpipe() {
    // SAFETY: the action runs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Blocks every signal (sigprocmask(2)).
///
/// A template blocks the terminal's signals and does not ignore them: a child
/// unblocks them with one call, and a Ctrl-C that comes between the fork and that
/// call is delivered then instead of being lost.
pub(crate) fn block_all() -> io::Result<()> {
    set_mask(&SigSet::all())
}

/// Blocks every signal as long as it lives. Its drop restores the mask from
/// before.
pub(crate) struct BlockedSignals {
    before: SigSet,
}

impl BlockedSignals {
    /// Blocks every signal (sigprocmask(2)).
    pub(crate) fn all() -> io::Result<BlockedSignals> {
        let mut before = SigSet::empty();
        sigprocmask(
            SigmaskHow::SIG_SETMASK,
            Some(&SigSet::all()),
            Some(&mut before),
        )?;
        Ok(BlockedSignals { before })
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        let _ = set_mask(&self.before);
    }
}

/// Unblocks every signal (rt_sigprocmask(2)).
#[inline]
pub(crate) fn unblock_all() -> io::Result<()> {
    /// Number of bytes of the kernel's mask: MIPS has 128 signals.
    const LEN: usize = if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
        16
    } else {
        8
    };
    let (none, before) = ([0u8; LEN], ptr::null_mut::<u8>());
    // SAFETY: reads a local of the length that is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            before,
            LEN,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Discards every signal that is blocked and pending (sigpending(2),
/// sigtimedwait(2)): the signal was not meant for what this process becomes now.
pub(crate) fn discard_pending() {
    // SAFETY: all-zero is a valid signal set.
    let mut pending: libc::sigset_t = unsafe { mem::zeroed() };
    let nothing = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: fills a local.
    while unsafe { libc::sigpending(&raw mut pending) } == 0 && !is_empty(&pending) {
        // SAFETY: reads locals, and wants no information back.
        let taken =
            unsafe { libc::sigtimedwait(&raw const pending, ptr::null_mut(), &raw const nothing) };
        if taken == -1 {
            return;
        }
    }
}

fn is_empty(set: &libc::sigset_t) -> bool {
    // SAFETY: only looks into the set.
    (1..=libc::SIGRTMAX()).all(|signal| unsafe { libc::sigismember(set, signal) } != 1)
}

fn set_mask(mask: &SigSet) -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None)?)
}
