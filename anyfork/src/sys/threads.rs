//! How many threads this process has, and the witness that it has one.
//! RUNS IN: any

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::sync::{Mutex, OnceLock, PoisonError};

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
    /// Counts the threads: the witness, or the others that there are.
    pub(crate) fn check() -> io::Result<Result<OneThread, OtherThreads>> {
        let others = others()?;
        Ok(match others.0.is_empty() {
            true => Ok(OneThread(PhantomData)),
            false => Err(others),
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

/// The threads of this process beside the current one: their names (`comm` of
/// proc_pid_comm(5)), none where the kernel does not tell.
#[derive(Debug)]
pub(crate) struct OtherThreads(Vec<Option<String>>);

impl OtherThreads {
    /// The number of threads of the whole process.
    pub(crate) fn total(&self) -> usize {
        self.0.len() + 1
    }

    /// What has a part of the process's threads as its number: `1 thread`.
    pub(crate) fn number(&self) -> String {
        match self.0.len() {
            1 => "1 thread".to_owned(),
            n => format!("{n} threads"),
        }
    }
}

/// The names, those that are alike once: `` `worker` (4 of them), `logger` ``. Empty if
/// the kernel tells none.
impl fmt::Display for OtherThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<(&str, usize)> = Vec::new();
        for name in self.0.iter().flatten() {
            match names.iter_mut().find(|(it, _)| it == name) {
                Some((_, count)) => *count += 1,
                None => names.push((name, 1)),
            }
        }
        for (index, (name, count)) in names.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}`{name}`")?;
            if count > 1 {
                write!(f, " ({count} of them)")?;
            }
            if name.starts_with("jemalloc_bg") {
                write!(f, "{JEMALLOC}")?;
            }
        }
        Ok(())
    }
}

/// What to do about threads that the allocator jemalloc has started.
const JEMALLOC: &str = " (of jemalloc: leave `background_thread` out of its `malloc_conf`, and \
     switch it on in `main`)";

/// The threads that were there right after this process was forked.
static OF_LIBRARIES: Mutex<Vec<OsString>> = Mutex::new(Vec::new());

/// Notes the threads that are there right after this process was forked: a library has
/// started them again in the fork (pthread_atfork(3)), as it does in each. They are nobody
/// else's fault, and count no more.
pub(crate) fn note_of_libraries() {
    let mut noted = OF_LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
    noted.clear();
    if fs::read_to_string("/proc/self/stat").is_ok_and(|it| stat_field(&it, 20) == Some(1)) {
        return;
    }
    if let Ok(threads) = fs::read_dir("/proc/self/task") {
        noted.extend(threads.flatten().map(|thread| thread.file_name()));
    }
}

/// The other threads of this process that can still run the program's code
/// (`/proc/self/stat`, proc(5)).
///
/// A thread that was joined is listed for a while longer, on its way out of the
/// kernel, and does not count. Without `/proc` the kernel only tells one thread
/// from several.
fn others() -> io::Result<OtherThreads> {
    let none = || OtherThreads(Vec::new());
    let stat = match fs::read_to_string("/proc/self/stat") {
        Ok(stat) => stat,
        Err(error) => return is_single().then(none).ok_or(error),
    };
    match stat_field(&stat, 20) {
        Some(1) => Ok(none()),
        Some(_) => running_others(),
        None => Err(io::Error::other("/proc/self/stat has no count of threads")),
    }
}

/// The other threads that have not begun to exit.
fn running_others() -> io::Result<OtherThreads> {
    /// `PF_EXITING` of the kernel.
    const EXITING: u64 = 4;
    // SAFETY: gettid has no preconditions.
    let own = unsafe { libc::gettid() }.to_string();
    let of_libraries = OF_LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut others = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?;
        let number = thread.file_name();
        if number.to_str() == Some(&own) || of_libraries.contains(&number) {
            continue;
        }
        // A thread whose file is gone has exited.
        let Ok(stat) = fs::read(thread.path().join("stat")) else {
            continue;
        };
        let stat = String::from_utf8_lossy(&stat);
        if stat_field(&stat, 9).is_some_and(|flags| flags & EXITING != 0) {
            continue;
        }
        let name = fs::read(thread.path().join("comm")).ok();
        let name = name.map(|it| String::from_utf8_lossy(&it).trim_end().to_owned());
        others.push(name.filter(|name| !name.is_empty()));
    }
    Ok(OtherThreads(others))
}

/// Whether this process has had one thread only since its fork, as the C library notes it
/// (`__libc_single_threaded`, glibc 2.32). Makes no system call there. With another C
/// library the kernel is asked.
pub(crate) fn was_always_single() -> bool {
    match single_flag() {
        // SAFETY: the C library's variable, which lives as long as the process; a write
        // of one byte by another thread is seen or not.
        Some(flag) => unsafe { (flag as *const u8).read_volatile() != 0 },
        None => is_single(),
    }
}

/// The address of the C library's flag. The template looks it up before its first fork,
/// because a thread of a child may hold the dynamic linker's lock.
pub(crate) fn single_flag() -> Option<usize> {
    static FLAG: OnceLock<Option<usize>> = OnceLock::new();
    *FLAG.get_or_init(|| {
        // SAFETY: takes a C string.
        let flag = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__libc_single_threaded".as_ptr()) };
        (!flag.is_null()).then(|| flag.addr())
    })
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
        let counted = (others().unwrap().total(), is_single(), was_always_single());
        assert!(counted.0 >= 2 && !counted.1 && !counted.2, "{counted:?}");
    }

    #[test]
    fn threads_are_named_and_counted() {
        let names = |names: &[&str]| {
            let named = names.iter().map(|name| Some((*name).to_owned()));
            OtherThreads(named.collect())
        };
        let one = names(&["logger"]);
        assert_eq!(
            (one.number(), one.to_string()),
            ("1 thread".into(), "`logger`".into())
        );
        let three = names(&["pool", "logger", "pool"]);
        assert_eq!((three.number(), three.total()), ("3 threads".into(), 4));
        assert_eq!(three.to_string(), "`pool` (2 of them), `logger`");
        assert_eq!(OtherThreads(vec![None]).to_string(), "");
        let allocator = names(&["jemalloc_bg_thd", "logger"]).to_string();
        assert!(allocator.starts_with("`jemalloc_bg_thd` (of jemalloc: "));
        assert!(allocator.ends_with("in `main`), `logger`"), "{allocator}");
    }
}
