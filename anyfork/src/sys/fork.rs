//! Forking, and leaving a process.
//! RUNS IN: program before main, template, child, spare, monitor

use std::io;

use nix::unistd::ForkResult;

use crate::sys::threads::OneThread;

/// The two sides of a [`fork`].
pub(crate) enum Side {
    /// The new process.
    Child(OneThread),
    /// The process that forked, with the child's pid.
    Parent(u32),
}

/// Forks (fork(2), the C library's, so that `pthread_atfork` handlers run).
pub(crate) fn fork(_: OneThread) -> io::Result<Side> {
    // SAFETY: the process has one thread, so the child finds every lock free.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(Side::Child(OneThread::of_forked_child())),
        ForkResult::Parent { child } => Ok(Side::Parent(child.as_raw().unsigned_abs())),
    }
}

/// This process's pid (getpid(2)).
#[inline]
pub(crate) fn current_pid() -> u32 {
    // SAFETY: getpid has no preconditions.
    unsafe { libc::getpid() }.cast_unsigned()
}

/// Makes the kernel kill this process when its parent, which has one thread, dies;
/// an error if that has happened already (`PR_SET_PDEATHSIG`, prctl(2)).
pub(crate) fn die_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: takes numbers.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
        return Err(io::Error::last_os_error());
    }
    match std::os::unix::process::parent_id() == parent {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Undoes [`die_with_parent`] (`PR_SET_PDEATHSIG`, prctl(2)).
pub(crate) fn outlive_parent() {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
}

/// Exits at once: no destructor and no `atexit` function runs (_exit(2)).
#[inline]
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code.into()) }
}

/// Writes out what the C library has buffered (fflush(3)).
pub(crate) fn flush_c_streams() {
    // SAFETY: a null stream stands for all output streams.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}
