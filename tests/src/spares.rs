//! What the tests of warm spares share: templates that keep some, and a look at
//! those that wait.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use anyfork::Process;

use crate::{bounded, children, stat, until};

/// Has `process` come into being as a template that keeps `count` spares, and
/// waits until so many wait; gives its pid, too.
pub fn warm(process: Process, count: usize) -> (Process, u32) {
    let launch = process.keep_warm(count).prepare();
    let template = bounded("a template", || launch.blocking()).expect("a template");
    let pid = template.pid().expect("it has answered");
    until_idle(pid, count);
    (template, pid)
}

/// The children of a template that are called spares, and are no zombies.
pub fn idle(template: u32) -> Vec<u32> {
    let alive = children(template)
        .into_iter()
        .filter(|(_, state)| *state != 'Z');
    let spares = alive.map(|(pid, _)| pid).filter(|pid| {
        let title = fs::read(format!("/proc/{pid}/cmdline"));
        title.is_ok_and(|title| title.starts_with(b"anyfork: spare of "))
    });
    spares.collect()
}

/// Waits until `count` spares wait for a request.
pub fn until_idle(template: u32, count: usize) -> Vec<u32> {
    let mut found = Vec::new();
    until(&format!("{count} spares"), || {
        found = idle(template);
        found.len() == count && found.iter().all(|&pid| waits(pid))
    });
    found
}

/// Whether a process sleeps in a receiving.
fn waits(pid: u32) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall"));
    // Without the right to see it, that it sleeps must do.
    let Ok(call) = call else {
        return stat(pid).is_some_and(|(state, _)| state == 'S');
    };
    let number = call.split(' ').next().and_then(|it| it.parse().ok());
    number == Some(libc::SYS_recvmsg)
}

/// Waits until a template has no children but `count` spares and `others`, and no
/// zombie.
pub fn until_settled(template: u32, count: usize, others: &[u32]) {
    until(&format!("{count} spares and {others:?}"), || {
        let all = children(template);
        let idle = idle(template);
        let known = |pid: &u32| idle.contains(pid) || others.contains(pid);
        idle.len() == count && all.len() == count + others.len() && all.keys().all(known)
    });
}

/// Whether this process's memory has `needle` three times in a row: the needle
/// itself is there but once.
pub fn remembers(needle: &[u8; 16]) -> io::Result<bool> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let memory = File::open("/proc/self/mem")?;
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let range = line.split(' ').next().and_then(|it| it.split_once('-'));
        let (start, end) = range.expect("a range");
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).expect("an address"));
        let mut page = [0; 4096];
        for at in (start..end).step_by(page.len()) {
            memory.read_exact_at(&mut page, at)?;
            let mut places = page.windows(3 * needle.len());
            let is_it = |place: &[u8]| place.chunks(needle.len()).all(|it| it == needle);
            if places.any(|place| place[0] == needle[0] && is_it(place)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
