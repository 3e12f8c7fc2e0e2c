//! The variables that settings give to a process.
//! RUNS IN: child
//!
//! The C library searches all variables for each that is set. So many at once, as a
//! program's whole environment, are put together here and given to it in one piece.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;

use crate::child::baseline;
use crate::sys::environ;
use crate::sys::threads::OneThread;

/// A change of the environment.
pub(crate) enum Change {
    /// What a program inherits from its caller comes in place of all; with `prepared`,
    /// but for what the preparation of the process has changed.
    Inherit {
        variables: Vec<(OsString, OsString)>,
        prepared: bool,
    },
    /// All variables are removed.
    Clear,
    /// A variable is set, or removed.
    Set(OsString, Option<OsString>),
}

/// Maximum number of variables that are set one by one.
const FEW: usize = 16;

/// Makes the changes, in their order; an error names the variable.
pub(crate) fn change(
    one_thread: OneThread,
    changes: Vec<Change>,
) -> Result<(), (OsString, io::Error)> {
    let is_single = |change: &Change| matches!(change, Change::Set(..));
    if changes.len() <= FEW && changes.iter().all(is_single) {
        for change in changes {
            if let Change::Set(name, value) = change {
                environ::set_variable(one_thread, &name, value.as_deref())
                    .map_err(|error| (name, error))?;
            }
        }
        return Ok(());
    }
    let mut variables = Variables::of_this_process();
    for change in changes {
        match change {
            Change::Clear => variables = Variables::default(),
            Change::Inherit {
                variables: callers,
                prepared,
            } => {
                let changed = match prepared {
                    true => baseline::changed_variables(),
                    false => Vec::new(),
                };
                variables = Variables::default();
                let callers = callers.into_iter().map(|(name, value)| (name, Some(value)));
                for (name, value) in callers.chain(changed) {
                    // A name that cannot be set was not set by a call of the program, but
                    // given to it at its exec. Left out.
                    if environ::is_possible(&name, value.as_deref()) {
                        variables.set(name, value);
                    }
                }
            }
            Change::Set(name, value) => match environ::is_possible(&name, value.as_deref()) {
                true => variables.set(name, value),
                // A variable that cannot be is not there.
                false if value.is_none() => {}
                false => return Err((name, io::Error::from_raw_os_error(libc::EINVAL))),
            },
        }
    }
    environ::replace(one_thread, variables.entries());
    Ok(())
}

/// Variables in their order, found by name.
#[derive(Default)]
struct Variables {
    /// `None` in the place of one that was removed.
    entries: Vec<Option<(OsString, OsString)>>,
    places: BTreeMap<OsString, usize>,
}

impl Variables {
    fn of_this_process() -> Variables {
        let mut variables = Variables::default();
        for (name, value) in env::vars_os() {
            variables.set(name, Some(value));
        }
        variables
    }

    fn set(&mut self, name: OsString, value: Option<OsString>) {
        match (self.places.get(&name), value) {
            (Some(&place), Some(value)) => self.entries[place] = Some((name, value)),
            (None, Some(value)) => {
                self.places.insert(name.clone(), self.entries.len());
                self.entries.push(Some((name, value)));
            }
            (Some(_), None) => {
                if let Some(place) = self.places.remove(&name) {
                    self.entries[place] = None;
                }
            }
            (None, None) => {}
        }
    }

    fn entries(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let entries = self.entries.iter().flatten();
        entries.map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_counts_and_the_first_place() {
        let mut variables = Variables::default();
        for (name, value) in [
            ("A", Some("1")),
            ("B", Some("2")),
            ("A", Some("3")),
            ("C", Some("4")),
            ("B", None),
            ("D", None),
            ("B", Some("5")),
        ] {
            variables.set(name.into(), value.map(Into::into));
        }
        let found: Vec<_> = variables.entries().collect();
        let text = |name: &'static str, value: &'static str| (OsStr::new(name), OsStr::new(value));
        assert_eq!(found, [text("A", "3"), text("C", "4"), text("B", "5")]);
    }
}
