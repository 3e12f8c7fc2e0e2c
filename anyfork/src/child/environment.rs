//! The variables that settings give to a process.
//! RUNS IN: child
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
    // The whole environment as the caller has put it together: nothing is to be looked
    // up.
    if let [
        Change::Inherit {
            variables,
            prepared: false,
        },
    ] = &mut changes[..]
    {
        environ::replace(one_thread, mem::take(variables).into_bytes());
        return Ok(());
    }
    let mut variables = Variables::default();
    // What comes before the last of these is of no use.
    let begins = |change: &Change| matches!(change, Change::Clear | Change::Inherit { .. });
    if !changes.first().is_some_and(begins) {
        for (name, value) in env::vars_os() {
            variables.set(&name, Some(&value));
        }
    }
    for change in &changes {
        match change {
            Change::Clear => variables = Variables::default(),
            Change::Inherit {
                variables: callers,
                prepared,
            } => {
                variables = Variables::default();
                for text in callers.iter() {
                    if let Some((name, value)) = split(text) {
                        variables.set(name, Some(value));
                    }
                }
                let changed = match prepared {
                    true => baseline::changed_variables(),
                    false => Vec::new(),
                };
                for (name, value) in changed {
                    variables.set(&name, value.as_deref());
                }
            }
            Change::Set(name, value) => match environ::is_possible(name, value.as_deref()) {
                true => variables.set(name, value.as_deref()),
                // A variable that cannot be is not there.
                false if value.is_none() => {}
                false => {
                    let error = io::Error::from_raw_os_error(libc::EINVAL);
                    return Err((name.clone(), error));
                }
            },
        }
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
#[derive(Default)]
struct Variables {
    /// `None` in the place of one that was removed.
    entries: Vec<Option<(OsString, OsString)>>,
    places: Places<OsString, usize>,
}

impl Variables {
    fn set(&mut self, name: &OsStr, value: Option<&OsStr>) {
        let entry = value.map(|value| (name.to_owned(), value.to_owned()));
        match (self.places.get(name), entry) {
            (Some(&place), entry @ Some(_)) => self.entries[place] = entry,
            (None, entry @ Some(_)) => {
                self.places.insert(name.to_owned(), self.entries.len());
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

    fn texts(&self) -> Texts {
        let mut texts = Texts::default();
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
