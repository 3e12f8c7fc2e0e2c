//! The limits that this process has been given by a setting, as reasons for errors.
//! RUNS IN: template, child
//!
//! A limit of a template holds for the template itself, too: the kernel refuses its
//! forks, or the memory that it needs. The errors of that name the limit.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::resource::Resource;
use crate::sys::rlimit;

/// The resources whose limits this process, or a template that it comes from, has been
/// given: a bit for each.
static GIVEN: AtomicU64 = AtomicU64::new(0);

/// Notes that a setting has limited this resource.
pub(crate) fn note(resource: u32) {
    if let Some(bit) = 1u64.checked_shl(resource) {
        GIVEN.fetch_or(bit, Ordering::Relaxed);
    }
}

fn is_given(resource: Resource) -> bool {
    let bit = 1u64.checked_shl(resource.number());
    bit.is_some_and(|bit| GIVEN.load(Ordering::Relaxed) & bit != 0)
}

/// What refused a fork of this template, as a text that begins with a space: a limit
/// that it has been given, if one can be the reason, or a filter.
pub(crate) fn reason_of_refused_fork(error: &io::Error) -> String {
    let resources: &[Resource] = match error.raw_os_error() {
        Some(libc::EAGAIN) => &[Resource::NPROC],
        Some(libc::ENOMEM) => &[Resource::AS, Resource::DATA],
        // The kernel itself has no such reason.
        Some(libc::EPERM) => {
            return " under a filter (seccomp), which an init function may have set: confine the processes \
                    that are forked from it instead, with a pool by `Builder::init`"
                .into();
        }
        _ => &[],
    };
    let given = resources.iter().copied().filter(|it| is_given(*it));
    let texts = given.filter_map(|resource| {
        let (soft, _) = rlimit::limit(resource.number()).ok()?;
        Some(format!(
            " with the limit {resource} of {soft} that it has been given itself: set the \
             `rlimit` after `fork` to limit the workers alone"
        ))
    });
    texts.collect()
}

/// Checks that the limit of the address space that a template has been given leaves it
/// room: an allocation that fails would end it without a word.
pub(crate) fn check_template() -> Result<()> {
    /// Number of bytes that a template needs beside what it has.
    const ROOM: u64 = 1 << 20;
    for resource in [Resource::AS, Resource::DATA] {
        let Ok((soft, _)) = rlimit::limit(resource.number()) else {
            continue;
        };
        let size = match resource {
            Resource::AS => rlimit::address_space(),
            _ => rlimit::data(),
        };
        if is_given(resource) && size.is_some_and(|size| size.saturating_add(ROOM) > soft) {
            let message = format!(
                "the limit {resource} of {soft} is too small for the template, which needs {}: set \
                 the `rlimit` after `fork` to limit the workers alone",
                size.unwrap_or_default() + ROOM
            );
            return Err(Error::io(
                message,
                io::Error::from_raw_os_error(libc::ENOMEM),
            ));
        }
    }
    Ok(())
}
