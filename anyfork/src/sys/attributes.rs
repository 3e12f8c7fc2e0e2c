//! What a process has beside its rights, and a program that it starts inherits.
//! RUNS IN: caller, template, child
//!
//! Umask, ignored signals, resource limits, nice value, processors, and the place in
//! the kernel's choice when memory is short. The caller notes [`Attributes::now`] when
//! it starts a program, and the [child](crate::child::attributes) applies them. A
//! template notes its own at its start, so that what its preparation has changed can
//! be told.

use std::fs;
use std::io::{self, Read};
use std::mem;

use nix::errno::Errno;

/// What is known of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// `None` without `/proc`: nothing else tells it without changing it.
    pub(crate) umask: Option<u32>,
    /// A bit for each signal that is ignored, the lowest for signal 1. `None`
    /// without `/proc`.
    pub(crate) ignored_signals: Option<u64>,
    /// The nice value. `None` where the kernel does not say.
    pub(crate) nice: Option<i32>,
    /// A bit for each processor, as the kernel keeps them.
    pub(crate) affinity: Vec<u8>,
    /// From -1000 (never chosen) to 1000. `None` without `/proc`.
    pub(crate) oom_score_adj: Option<i32>,
    /// The soft and the hard limit of each resource, by its number.
    pub(crate) limits: Vec<(u64, u64)>,
}

/// Number of resources that have limits (getrlimit(2)).
pub(crate) const RESOURCES: u32 = 16;

/// Maximum number of bytes of a set of processors: 8,192 of them.
pub(crate) const MAX_AFFINITY: usize = 1024;

/// What `/proc` tells of the calling thread in one look.
pub(crate) struct Status {
    pub(crate) umask: Option<u32>,
    pub(crate) ignored_signals: Option<u64>,
    /// The capabilities that a program can have at most which it executes.
    pub(crate) bounding_set: Option<u64>,
}

impl Status {
    /// Of the calling thread (proc_pid_status(5)). Nothing of it without `/proc`.
    pub(crate) fn now() -> Status {
        let mut buffer = [0; 8192];
        let text = read_once("/proc/thread-self/status", &mut buffer).unwrap_or_default();
        let mut status = Status {
            umask: None,
            ignored_signals: None,
            bounding_set: None,
        };
        let hexadecimal = |value: &str| u64::from_str_radix(value, 16).ok();
        for line in text.lines() {
            match line.split_once(":\t") {
                Some(("Umask", value)) => status.umask = u32::from_str_radix(value, 8).ok(),
                Some(("SigIgn", value)) => status.ignored_signals = hexadecimal(value),
                Some(("CapBnd", value)) => status.bounding_set = hexadecimal(value),
                _ => {}
            }
        }
        status
    }
}

/// What one read gives of a file of `/proc`, which the kernel writes in one piece; `None`
/// without it. The first line, which may have a name in it, is left out if it is not UTF-8.
fn read_once<'a>(path: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let n = fs::File::open(path).ok()?.read(buffer).ok()?;
    let bytes = &buffer[..n];
    let bytes = match str::from_utf8(bytes) {
        Ok(text) => return Some(text),
        Err(_) => bytes.splitn(2, |byte| *byte == b'\n').nth(1)?,
    };
    str::from_utf8(bytes).ok()
}

impl Attributes {
    /// Those of the calling thread and its process; `status` is of it, too.
    pub(crate) fn now(status: &Status) -> Attributes {
        Attributes {
            umask: status.umask,
            ignored_signals: status.ignored_signals,
            nice: nice(),
            affinity: affinity().unwrap_or_default(),
            oom_score_adj: oom_score_adj(),
            limits: (0..RESOURCES).map_while(limit).collect(),
        }
    }
}

/// The nice value of the calling thread (getpriority(2)).
fn nice() -> Option<i32> {
    Errno::clear();
    // SAFETY: takes numbers.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // -1 is a nice value, too.
    (nice != -1 || Errno::last_raw() == 0).then_some(nice)
}

/// Sets the nice value of the calling thread (setpriority(2)).
pub(crate) fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: takes numbers.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The processors that the calling thread may use (sched_getaffinity(2)).
fn affinity() -> io::Result<Vec<u8>> {
    let mut set = vec![0; MAX_AFFINITY];
    // SAFETY: fills at most the memory that it is given the length of.
    let len = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, set.len(), set.as_mut_ptr()) };
    match usize::try_from(len) {
        Ok(len) => {
            set.truncate(len);
            Ok(set)
        }
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Sets the processors that the calling thread may use (sched_setaffinity(2)).
pub(crate) fn set_affinity(set: &[u8]) -> io::Result<()> {
    // SAFETY: reads the memory that it is given the length of.
    let result = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, set.len(), set.as_ptr()) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The set of the processors with these numbers, as the kernel keeps it: a bit for each,
/// in words of the machine.
pub(crate) fn set_of_processors(numbers: &[u32]) -> io::Result<Vec<u8>> {
    let mut words = [0usize; MAX_AFFINITY / mem::size_of::<usize>()];
    for number in numbers {
        let (word, bit) = (number / usize::BITS, number % usize::BITS);
        match words.get_mut(word as usize) {
            Some(word) => *word |= 1 << bit,
            None => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }
    let len = words
        .iter()
        .rposition(|word| *word != 0)
        .map_or(1, |at| at + 1);
    let bytes = words[..len].iter().flat_map(|word| word.to_ne_bytes());
    Ok(bytes.collect())
}

/// How likely the kernel ends this process when memory is short
/// (proc_pid_oom_score_adj(5)).
fn oom_score_adj() -> Option<i32> {
    let mut buffer = [0; 32];
    let text = read_once("/proc/self/oom_score_adj", &mut buffer)?;
    text.trim().parse().ok()
}

/// Sets the same.
pub(crate) fn set_oom_score_adj(value: i32) -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", value.to_string())
}

/// Both limits of a resource; `None` if the kernel has no such resource
/// (getrlimit(2)).
fn limit(resource: u32) -> Option<(u64, u64)> {
    // SAFETY: all-zero is a valid structure.
    let mut limit: libc::rlimit64 = unsafe { mem::zeroed() };
    // SAFETY: fills a local.
    let asked = unsafe { libc::getrlimit64(resource as _, &raw mut limit) };
    (asked == 0).then_some((limit.rlim_cur, limit.rlim_max))
}

/// Sets the umask (umask(2)).
pub(crate) fn set_umask(mask: u32) {
    // SAFETY: takes a number.
    unsafe { libc::umask(mask as libc::mode_t) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_and_compared() {
        let mine = Attributes::now(&Status::now());
        assert_eq!(mine.limits.len(), RESOURCES as usize);
        assert!(mine.umask.is_some() && mine.nice.is_some() && mine.oom_score_adj.is_some());
        assert!(mine.affinity.iter().any(|byte| *byte != 0));
        assert_eq!(mine, Attributes::now(&Status::now()));
        set_affinity(&mine.affinity).unwrap();
        set_nice(mine.nice.unwrap()).unwrap();
        assert!(Status::now().bounding_set.is_some());
    }

    #[test]
    fn processors_are_bits() {
        let bytes = |set: &[u32]| set_of_processors(set).unwrap();
        let word = |word: usize| word.to_ne_bytes();
        assert_eq!(bytes(&[]), word(0));
        assert_eq!(bytes(&[0, 3]), word(0b1001));
        assert_eq!(bytes(&[usize::BITS]), [word(0), word(1)].concat());
        assert_eq!(bytes(&[8191]).len(), MAX_AFFINITY);
        assert!(set_of_processors(&[8192]).is_err());
        assert!(set_of_processors(&[0, u32::MAX]).is_err());
    }
}
