//! What an external program has from its caller beside streams and environment.
//! RUNS IN: child
//!
//! Umask, ignored signals, limits, nice value, processors and OOM score, as with std's
//! `Command`, where a child inherits all of it. Workers have these as their template
//! has them.

use std::io;

use crate::child::baseline;
use crate::error::{Error, Result};
use crate::resource::Resource;
use crate::sys::attributes::{self, Attributes, Status};
use crate::sys::{rlimit, signal};

/// Takes over the caller's attributes; with `prepared`, but for those that the
/// process's preparation has changed.
pub(crate) fn inherit(callers: Attributes, prepared: bool) -> Result<()> {
    let birth = baseline::attributes();
    // Where no code of the program's has run, this process has what the template had.
    let ours = match (birth, baseline::has_run_user_code() || prepared) {
        (Some(birth), false) => birth.clone(),
        _ => Attributes::now(&Status::now()),
    };
    // What was changed since the template's birth, and is to stay.
    let birth_if_prepared = birth.filter(|_| prepared);
    let differs = |changed: fn(&Attributes, &Attributes) -> bool| {
        changed(&callers, &ours) && !birth_if_prepared.is_some_and(|birth| changed(birth, &ours))
    };
    if differs(|one, other| one.umask != other.umask)
        && let Some(umask) = callers.umask
    {
        attributes::set_umask(umask);
    }
    if let (Some(wanted), Some(ignored)) = (callers.ignored_signals, ours.ignored_signals) {
        let before = birth_if_prepared.and_then(|birth| birth.ignored_signals);
        let changed = before.map_or(0, |before| before ^ ignored);
        signal::change_ignored(ignored, (wanted & !changed) | (ignored & changed));
    }
    if differs(|one, other| one.affinity != other.affinity) && !callers.affinity.is_empty() {
        set(
            "the processors",
            attributes::set_affinity(&callers.affinity),
        )?;
    }
    if differs(|one, other| one.oom_score_adj != other.oom_score_adj)
        && let Some(adjustment) = callers.oom_score_adj
    {
        set("oom_score_adj", attributes::set_oom_score_adj(adjustment))?;
    }
    for (resource, &(soft, hard)) in (0..).zip(&callers.limits) {
        let index = resource as usize;
        let now = ours.limits.get(index);
        let was_changed = birth_if_prepared.is_some_and(|birth| birth.limits.get(index) != now);
        if now != Some(&(soft, hard)) && !was_changed {
            let what = Resource::from(resource).to_string();
            set(&what, rlimit::set_limit(resource, soft, hard))?;
        }
    }
    // Last: a nice value may need the limit above.
    if differs(|one, other| one.nice != other.nice)
        && let Some(nice) = callers.nice
    {
        set("the nice value", attributes::set_nice(nice))?;
    }
    Ok(())
}

fn set(what: &str, result: io::Result<()>) -> Result<()> {
    result.map_err(|error| Error::io(format_args!("set {what} to the caller's"), error))
}
