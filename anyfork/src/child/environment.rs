//! The variables that settings give to a process.
//! RUNS IN: template, child
//!
//! The C library searches all variables for each that is set. So many at once, as a
//! program's whole environment, are put together here and given to it in one piece.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;

use crate::child::baseline;
use crate::child::baseline::Places;
use crate::spec::texts::Texts;
use crate::sys::environ;
use crate::sys::threads::OneThread;

/// A change of the environment.
pub(crate) enum Change {
    /// These variables come in place of all; with `prepared`, but for what the
    /// preparation of the process has changed.
    Inherit { variables: Texts, prepared: bool },
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
    mut changes: Vec<Change>,
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
    let changed = baseline::changed_variables();
    // The whole environment as the caller has put it together: nothing is to be looked
    // up.
    if let [
        Change::Inherit {
            variables,
            prepared,
        },
    ] = &mut changes[..]
        && (!*prepared || changed.is_empty())
    {
        environ::replace(one_thread, mem::take(variables).into_bytes());
        return Ok(());
    }
    let own: Vec<(OsString, OsString)> = env::vars_os().collect();
    let mut variables = Variables::of_process(&own, &changed);
    for change in &changes {
        let made = match change {
            Change::Clear => variables.clear(),
            Change::Inherit {
                variables: callers,
                prepared,
            } => variables.inherit(callers.as_bytes(), *prepared),
            Change::Set(name, value) => variables.change(name, value.as_deref()),
        };
        made.map_err(|error| match change {
            Change::Set(name, _) => (name.clone(), error),
            _ => (OsString::new(), error),
        })?;
    }
    environ::replace(one_thread, variables.texts().into_bytes());
    Ok(())
}

/// The name and the value of a text of the environment. `None`: the text has no name that
/// can be set. It was not set by a call of the program, but given to it at its exec.
fn split(text: &[u8]) -> Option<(&OsStr, &OsStr)> {
    let at = text.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&text[..at], &text[at + 1..]);
    (at > 0).then(|| (OsStr::from_bytes(name), OsStr::from_bytes(value)))
}

/// Variables in their order, found by name.
pub(crate) struct Variables<'a> {
    /// `None` in the place of one that was removed.
    entries: Vec<Option<(&'a OsStr, &'a OsStr)>>,
    places: Places<&'a OsStr, usize>,
    /// What the preparation of the process has changed.
    changed: &'a [(OsString, Option<OsString>)],
}

impl<'a> Variables<'a> {
    /// The variables of a process, and those that its preparation has changed.
    pub(crate) fn of_process(
        own: &'a [(OsString, OsString)],
        changed: &'a [(OsString, Option<OsString>)],
    ) -> Variables<'a> {
        let mut variables = Variables {
            entries: Vec::new(),
            places: Places::default(),
            changed,
        };
        for (name, value) in own {
            variables.set(name, Some(value));
        }
        variables
    }

    /// Removes all variables.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.entries.clear();
        self.places.clear();
        Ok(())
    }

    /// Takes these variables in place of all; with `prepared`, but for what the preparation
    /// of the process has changed.
    pub(crate) fn inherit(&mut self, texts: &'a [u8], prepared: bool) -> io::Result<()> {
        self.clear()?;
        for text in texts.split_inclusive(|byte| *byte == 0) {
            if let Some((name, value)) = split(&text[..text.len() - 1]) {
                self.set(name, Some(value));
            }
        }
        for (name, value) in self.changed.iter().filter(|_| prepared) {
            self.set(name, value.as_deref());
        }
        Ok(())
    }

    /// Sets or removes a variable. An error if there can be no such variable.
    pub(crate) fn change(&mut self, name: &'a OsStr, value: Option<&'a OsStr>) -> io::Result<()> {
        match environ::is_possible(name, value) {
            true => self.set(name, value),
            // A variable that cannot be is not there.
            false if value.is_none() => {}
            false => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
        Ok(())
    }

    fn set(&mut self, name: &'a OsStr, value: Option<&'a OsStr>) {
        let entry = value.map(|value| (name, value));
        match (self.places.get(name), entry) {
            (Some(&place), Some(_)) => self.entries[place] = entry,
            (None, Some(_)) => {
                self.places.insert(name, self.entries.len());
                self.entries.push(entry);
            }
            (Some(_), None) => {
                if let Some(place) = self.places.remove(name) {
                    self.entries[place] = None;
                }
            }
            (None, None) => {}
        }
    }

    /// All variables, put together in memory that does not grow: what a larger piece
    /// leaves behind would be in the template's heap, and so in later workers.
    pub(crate) fn texts(&self) -> Texts {
        let lengths = self.entries.iter().flatten();
        let lengths = lengths.map(|(name, value)| name.len() + value.len() + 2);
        let mut texts = Texts::with_capacity(lengths.sum());
        for (name, value) in self.entries.iter().flatten() {
            texts.push(&[name.as_bytes(), b"=", value.as_bytes()]);
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_put_together_in_one_piece_of_memory() {
        let own = (0..50).map(|n| (format!("A{n}").into(), "v".repeat(n * 7).into()));
        let own: Vec<(OsString, OsString)> = own.collect();
        let bytes = Variables::of_process(&own, &[]).texts().into_bytes();
        assert!(bytes.len() > 8000);
        assert_eq!(bytes.capacity(), bytes.len());
    }

    #[test]
    fn the_last_change_counts_and_the_first_place() {
        let mut variables = Variables::of_process(&[], &[]);
        for (name, value) in [
            ("A", Some("1")),
            ("B", Some("2")),
            ("A", Some("3")),
            ("C", Some("4")),
            ("B", None),
            ("D", None),
            ("B", Some("5")),
        ] {
            variables.set(OsStr::new(name), value.map(OsStr::new));
        }
        let texts = variables.texts();
        assert!(texts.iter().eq([&b"A=3"[..], b"C=4", b"B=5"]), "{texts:?}");
    }

    #[test]
    fn a_text_without_a_name_is_no_variable() {
        let pair = |name, value| Some((OsStr::new(name), OsStr::new(value)));
        assert_eq!(split(b"A=b=c"), pair("A", "b=c"));
        assert_eq!(split(b"A="), pair("A", ""));
        for text in [&b""[..], b"A", b"=A", b"=A=b"] {
            assert_eq!(split(text), None, "{text:?}");
        }
    }
}
