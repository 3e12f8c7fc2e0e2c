//! How many threads this process has, and the witness that it has one.
//! RUNS IN: any

use std::fs::{self, DirEntry};
use std::io;
use std::marker::PhantomData;

use crate::sys::proc_stat::stat_field;

/// A witness that this process has one thread. The functions take it that are sound
/// only then: a fork, closing what others own, changing the environment.
///
/// The child of a [`fork`](crate::sys::fork::fork) has it, and a
/// [`check`](OneThread::check) makes it. It is out of date as soon as code runs that
/// may start a thread: whoever calls the user's code checks again. It stays in its
/// thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OneThread(PhantomData<*const ()>);

impl OneThread {
    /// Counts the threads: the witness, or how many there are.
    pub(crate) fn check() -> io::Result<Result<OneThread, usize>> {
        Ok(match count()? {
            1 => Ok(OneThread(PhantomData)),
            n => Err(n),
        })
    }

    /// The witness of a process that was exec'ed as a template, before `main`, without
    /// a count: threads that the constructors of libraries have started would be there
    /// at every start of the program, so that it would never have a template. They stay
    /// behind in the fork that follows.
    pub(crate) fn assume_before_main() -> OneThread {
        OneThread(PhantomData)
    }

    /// The witness of a process that was just forked: a fork copies one thread.
    pub(in crate::sys) fn of_forked_child() -> OneThread {
        OneThread(PhantomData)
    }
}

/// The number of threads of this process that can still run the program's code
/// (`/proc/self/stat`, proc(5)).
///
/// A thread that was joined is listed for a while longer, on its way out of the
/// kernel, and does not count. Without `/proc` the kernel only tells one thread
/// from several.
fn count() -> io::Result<usize> {
    let stat = match fs::read_to_string("/proc/self/stat") {
        Ok(stat) => stat,
        Err(error) => return is_single().then_some(1).ok_or(error),
    };
    match stat_field(&stat, 20) {
        Some(1) => Ok(1),
        Some(_) => count_running(),
        None => Err(io::Error::other("/proc/self/stat has no count of threads")),
    }
}

/// Counts the threads that have not begun to exit.
fn count_running() -> io::Result<usize> {
    /// `PF_EXITING` of the kernel.
    const EXITING: u64 = 4;
    let threads = fs::read_dir("/proc/self/task")?;
    let runs = |thread: &io::Result<DirEntry>| {
        let Ok(thread) = thread else { return true };
        // A thread whose file is gone has exited.
        let stat = fs::read_to_string(thread.path().join("stat"));
        stat.is_ok_and(|stat| stat_field(&stat, 9).is_none_or(|flags| flags & EXITING == 0))
    };
    Ok(threads.filter(runs).count())
}

/// Whether this process has one thread: only then does the kernel let it unshare
/// its threads, which changes nothing (unshare(2)).
pub(crate) fn is_single() -> bool {
    // SAFETY: what is asked for is so already, or refused.
    unsafe { libc::unshare(libc::CLONE_THREAD) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_a_second_thread() {
        // This test's own thread, beside the one that waits for it.
        let counted = (count().unwrap(), is_single());
        assert!(counted.0 >= 2 && !counted.1, "{counted:?}");
    }
}
