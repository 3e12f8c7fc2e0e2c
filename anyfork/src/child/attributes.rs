//! What an external program has from its caller beside streams and environment.
//! RUNS IN: template, child
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

/// One change that makes a process's attributes its caller's.
pub(crate) enum Change {
    Umask(u32),
    /// The signals that are ignored, before and afterwards.
    Ignored {
        from: u64,
        to: u64,
    },
    Affinity(Vec<u8>),
    OomScore(i32),
    Limit {
        resource: u32,
        soft: u64,
        hard: u64,
    },
    /// Last: a nice value may need the limit above.
    Nice(i32),
}

/// The changes from `ours` to the caller's attributes, in their order; with `prepared`, but
/// for those that the process's preparation has changed.
pub(crate) fn changes(callers: &Attributes, ours: &Attributes, prepared: bool) -> Vec<Change> {
    let birth = baseline::attributes();
    // What was changed since the template's birth, and is to stay.
    let birth_if_prepared = birth.filter(|_| prepared);
    let differs = |changed: fn(&Attributes, &Attributes) -> bool| {
        changed(callers, ours) && !birth_if_prepared.is_some_and(|birth| changed(birth, ours))
    };
    let mut all = Vec::new();
    if differs(|one, other| one.umask != other.umask) {
        all.extend(callers.umask.map(Change::Umask));
    }
    if let (Some(wanted), Some(ignored)) = (callers.ignored_signals, ours.ignored_signals) {
        let before = birth_if_prepared.and_then(|birth| birth.ignored_signals);
        let changed = before.map_or(0, |before| before ^ ignored);
        let to = (wanted & !changed) | (ignored & changed);
        if ignored != to {
            all.push(Change::Ignored { from: ignored, to });
        }
    }
    if differs(|one, other| one.affinity != other.affinity) && !callers.affinity.is_empty() {
        all.push(Change::Affinity(callers.affinity.clone()));
    }
    if differs(|one, other| one.oom_score_adj != other.oom_score_adj) {
        all.extend(callers.oom_score_adj.map(Change::OomScore));
    }
    for (resource, &(soft, hard)) in (0..).zip(&callers.limits) {
        let index = resource as usize;
        let now = ours.limits.get(index);
        let was_changed = birth_if_prepared.is_some_and(|birth| birth.limits.get(index) != now);
        if now != Some(&(soft, hard)) && !was_changed {
            all.push(Change::Limit {
                resource,
                soft,
                hard,
            });
        }
    }
    if differs(|one, other| one.nice != other.nice) {
        all.extend(callers.nice.map(Change::Nice));
    }
    all
}

impl Change {
    /// What it sets, for messages.
    pub(crate) fn what(&self) -> String {
        let what = match self {
            Change::Umask(_) => "the umask",
            Change::Ignored { .. } => "the ignored signals",
            Change::Affinity(_) => "the processors",
            Change::OomScore(_) => "oom_score_adj",
            Change::Limit { resource, .. } => &Resource::from(*resource).to_string(),
            Change::Nice(_) => "the nice value",
        };
        format!("set {what} to the caller's")
    }

    fn apply(&self) -> io::Result<()> {
        match self {
            Change::Umask(umask) => attributes::set_umask(*umask),
            Change::Ignored { from, to } => signal::change_ignored(*from, *to),
            Change::Affinity(set) => return attributes::set_affinity(set),
            Change::OomScore(value) => return attributes::set_oom_score_adj(*value),
            Change::Limit {
                resource,
                soft,
                hard,
            } => return rlimit::set_limit(*resource, *soft, *hard),
            Change::Nice(nice) => return attributes::set_nice(*nice),
        }
        Ok(())
    }
}

/// Takes over the caller's attributes; with `prepared`, but for those that the
/// process's preparation has changed.
pub(crate) fn inherit(callers: &Attributes, prepared: bool) -> Result<()> {
    // Where no code of the program's has run, this process has what the template had.
    let ours = match (
        baseline::attributes(),
        baseline::has_run_user_code() || prepared,
    ) {
        (Some(birth), false) => birth.clone(),
        _ => Attributes::now(&Status::now()),
    };
    changes(callers, &ours, prepared)
        .iter()
        .try_for_each(|change| {
            let applied = change.apply();
            applied.map_err(|error| Error::io(change.what(), error))
        })
}
