//! How much private memory a worker has.
//! RUNS IN: caller

use std::fs;

/// Number of resident bytes that are of no file and no shared memory (`RssAnon`, proc(5)).
pub(crate) fn private_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
