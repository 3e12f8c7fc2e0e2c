//! This process's signal actions and its signal mask (signal(7)).
//! RUNS IN: any

use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "pool")]
use nix::sys::signal::{SaFlags, SigAction, SigHandler, sigaction};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask, sigprocmask};

/// Sets every signal that has a handler to its default action, and SIGPIPE to ignored,
/// as a Rust `main` finds them (sigaction(2)). What is ignored stays ignored: so do
/// nohup(1) and a shell's `trap '' INT` reach a program's children.
///
/// But for SIGCHLD, without which a template would never learn how its children ended:
/// each child [restores](restore_sigchld) it.
pub(crate) fn drop_handlers() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: all-zero is a valid action.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        // The C library refuses the two real-time signals that it keeps for itself.
        // SAFETY: fills a local and sets nothing.
        let asked = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
        if asked == 0 && ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction) {
            // SAFETY: the action runs no code.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    // SAFETY: the action runs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    // SAFETY: the action runs no code.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    IGNORES_SIGCHLD.store(before == libc::SIG_IGN, Ordering::Relaxed);
}

/// Whether a template's children ignore SIGCHLD: the program did when its template was
/// made, or [`ignore`] was told so.
static IGNORES_SIGCHLD: AtomicBool = AtomicBool::new(false);

/// Ignores SIGCHLD in a template's child, if the program did (signal(2)).
#[inline]
pub(crate) fn restore_sigchld() {
    if ignores_sigchld() {
        // SAFETY: the action runs no code.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    }
}

/// Whether a template's children ignore SIGCHLD.
pub(crate) fn ignores_sigchld() -> bool {
    IGNORES_SIGCHLD.load(Ordering::Relaxed)
}

/// The signals that this process has handlers for, of which the C library's own are some
/// (sigaction(2)): a bit for each, the lowest for signal 1.
pub(crate) fn handled() -> u64 {
    let is_handled = |signal: &libc::c_int| {
        // The kernel's structure, which begins with the handler.
        let mut action = [0usize; 8];
        let (none, len) = (ptr::null::<usize>(), 8usize);
        // SAFETY: fills a local that is larger than the structure, and sets nothing.
        let asked = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                *signal,
                none,
                action.as_mut_ptr(),
                len,
            )
        };
        asked == 0 && ![libc::SIG_DFL, libc::SIG_IGN].contains(&action[0])
    };
    let handled = (1..=64).filter(is_handled);
    handled.fold(0, |set, signal| set | 1 << (signal - 1))
}

/// Changes which signals are ignored, from one set to the other (signal(2)): a bit for
/// each signal, the lowest for signal 1.
pub(crate) fn change_ignored(from: u64, to: u64) {
    let changed = (1..=64).filter(|signal| (from ^ to) >> (signal - 1) & 1 != 0);
    for signal in changed {
        let action = match to >> (signal - 1) & 1 {
            0 => libc::SIG_DFL,
            _ => libc::SIG_IGN,
        };
        // SAFETY: neither action runs code.
        unsafe { libc::signal(signal, action) };
    }
}

/// Catches SIGINT and SIGQUIT with a handler that does nothing (sigaction(2)), so that a
/// program that this process executes has the defaults again.
#[cfg(feature = "pool")]
pub(crate) fn ignore_terminal() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the handler does nothing.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Whether external programs ignore SIGPIPE, too.
static PROGRAMS_IGNORE_SIGPIPE: AtomicBool = AtomicBool::new(false);

/// Ignores a signal, in this process and in those that it is forked into (signal(2)).
pub(crate) fn ignore(signal: i32) -> io::Result<()> {
    match signal {
        // A template needs it: each child [restores](restore_sigchld) it.
        libc::SIGCHLD => IGNORES_SIGCHLD.store(true, Ordering::Relaxed),
        libc::SIGPIPE => PROGRAMS_IGNORE_SIGPIPE.store(true, Ordering::Relaxed),
        // SAFETY: the action runs no code.
        _ if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR => {
            return Err(io::Error::last_os_error());
        }
        _ => {}
    }
    Ok(())
}

/// Whether external programs ignore SIGPIPE: [`ignore`] was told so.
pub(crate) fn programs_ignore_sigpipe() -> bool {
    PROGRAMS_IGNORE_SIGPIPE.load(Ordering::Relaxed)
}

/// Sets SIGPIPE to its default, as external programs expect it, or to ignored, if that
/// [was set](ignore) (signal(2)).
pub(crate) fn settle_sigpipe() {
    let action = match programs_ignore_sigpipe() {
        true => libc::SIG_IGN,
        false => libc::SIG_DFL,
    };
    // SAFETY: neither action runs code.
    unsafe { libc::signal(libc::SIGPIPE, action) };
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

/// Catches a signal that a call of this thread would raise, as long as it lives: the
/// kernel sends the thread SIGXFSZ with `EFBIG`, for example. Its drop discards the
/// signal, unless one was pending before, and restores the mask.
///
/// The program's action for the signal stays untouched, and so do its other threads.
pub(crate) struct CaughtSignal {
    set: SigSet,
    before: SigSet,
    was_pending: bool,
}

impl CaughtSignal {
    /// Blocks the signal in this thread (pthread_sigmask(3)).
    pub(crate) fn new(signal: Signal) -> io::Result<CaughtSignal> {
        let mut set = SigSet::empty();
        set.add(signal);
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before))?;
        Ok(CaughtSignal {
            was_pending: pending_of(&set),
            set,
            before,
        })
    }
}

impl Drop for CaughtSignal {
    fn drop(&mut self) {
        if !self.was_pending && pending_of(&self.set) {
            let nothing = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // SAFETY: reads locals, and wants no information back.
            unsafe { libc::sigtimedwait(self.set.as_ref(), ptr::null_mut(), &raw const nothing) };
        }
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// Makes a call that writes to a pipe or socket, and raises no SIGPIPE if nobody reads there
/// any more.
pub(crate) fn without_sigpipe<T>(write: impl FnOnce() -> T) -> T {
    // It fails for arguments that are none.
    let caught = CaughtSignal::new(Signal::SIGPIPE);
    let written = write();
    drop(caught);
    written
}

/// Whether a signal of the set, all of which this thread blocks, waits for it
/// (sigpending(2)).
fn pending_of(set: &SigSet) -> bool {
    // SAFETY: all-zero is a valid signal set.
    let mut pending: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: fills a local.
    let known = unsafe { libc::sigpending(&raw mut pending) } == 0;
    // SAFETY: only looks into the set.
    let is_pending = |signal| unsafe { libc::sigismember(&raw const pending, signal) } == 1;
    known && set.iter().any(|signal| is_pending(signal as libc::c_int))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn is_pending(signal: Signal) -> bool {
        let mut set = SigSet::empty();
        set.add(signal);
        pending_of(&set)
    }

    #[test]
    fn a_signal_is_caught_unless_it_was_there_before() {
        // The default action would end the test.
        let caught = CaughtSignal::new(Signal::SIGXFSZ).unwrap();
        // SAFETY: takes a number.
        unsafe { libc::raise(libc::SIGXFSZ) };
        assert!(is_pending(Signal::SIGXFSZ));
        drop(CaughtSignal::new(Signal::SIGXFSZ).unwrap());
        assert!(is_pending(Signal::SIGXFSZ));
        drop(caught);
        let mask = SigSet::thread_get_mask().unwrap();
        assert!(!mask.contains(Signal::SIGXFSZ) && !is_pending(Signal::SIGXFSZ));
    }
}
