//! The environment of a [`Command`](crate::Command)'s program, put together as std does.
//! RUNS IN: caller
//!
//! With no change the program gets all that the caller has: a name that is there twice, and
//! texts that are no variables, too. With a change it gets variables, each once.

use std::collections::{HashMap, HashSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::spec::Setting;
use crate::spec::texts::Texts;
use crate::sys::environ;

/// The environment of this process as it is now.
///
/// It is read under std's lock, which `environ` itself does not have: another thread may
/// rightly change it by std's functions.
pub(crate) fn inherited() -> Texts {
    let mut texts = Texts::with_capacity(4096);
    for (name, value) in env::vars_os() {
        texts.push(&[name.as_bytes(), b"=", value.as_bytes()]);
    }
    for text in environ::nameless() {
        texts.push(&[text.to_bytes()]);
    }
    texts
}

/// The environment of this process with the changes that are among the settings, which
/// are taken out. An error names the variable that cannot be.
pub(crate) fn changed(settings: &mut Vec<Setting>) -> Result<Texts, (OsString, io::Error)> {
    let is_change = |it: &mut Setting| matches!(it, Setting::EnvClear | Setting::Env(..));
    let taken: Vec<Setting> = settings.extract_if(.., is_change).collect();
    if taken.is_empty() {
        return Ok(inherited());
    }
    let changes = Changes::of(&taken)?;
    let callers: Vec<_> = match changes.cleared {
        true => Vec::new(),
        false => env::vars_os().collect(),
    };
    Ok(changes.apply(&callers))
}

/// The last change of each variable.
struct Changes<'a> {
    /// Whether the caller's variables are left out.
    cleared: bool,
    /// In the order of the calls, with `None` for one that is removed.
    changes: Vec<(&'a OsStr, Option<&'a OsStr>)>,
    /// Where a name's last change is.
    places: HashMap<&'a OsStr, usize>,
}

impl<'a> Changes<'a> {
    fn of(settings: &'a [Setting]) -> Result<Changes<'a>, (OsString, io::Error)> {
        let mut all = Changes {
            cleared: false,
            changes: Vec::new(),
            places: HashMap::new(),
        };
        for setting in settings {
            match setting {
                Setting::EnvClear => {
                    all = Changes {
                        cleared: true,
                        changes: Vec::new(),
                        places: HashMap::new(),
                    }
                }
                Setting::Env(name, value) => {
                    // A variable that cannot be is not there to be removed, or was given
                    // to the program at its exec.
                    if value.is_some() && !environ::is_possible(name, value.as_deref()) {
                        let error = io::Error::from_raw_os_error(libc::EINVAL);
                        return Err((name.clone(), error));
                    }
                    all.places.insert(name, all.changes.len());
                    all.changes.push((name, value.as_deref()));
                }
                _ => {}
            }
        }
        Ok(all)
    }

    /// The caller's variables with the changes. Of a name that is there twice, std takes
    /// the last.
    fn apply(&self, callers: &[(OsString, OsString)]) -> Texts {
        let mut seen = HashSet::with_capacity(callers.len());
        let mut kept = Vec::new();
        for (name, value) in callers.iter().rev() {
            if !self.places.contains_key(name.as_os_str()) && seen.insert(name) {
                kept.push((name, value));
            }
        }
        kept.reverse();
        let mut texts = Texts::with_capacity(4096);
        for (name, value) in kept {
            texts.push(&[name.as_bytes(), b"=", value.as_bytes()]);
        }
        for (place, (name, value)) in self.changes.iter().enumerate() {
            if let (Some(value), true) = (value, self.places[name] == place) {
                texts.push(&[name.as_bytes(), b"=", value.as_bytes()]);
            }
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str, value: Option<&str>) -> Setting {
        Setting::Env(name.into(), value.map(Into::into))
    }

    fn applied(callers: &[(&str, &str)], settings: &[Setting]) -> Vec<String> {
        let pair = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
        let callers: Vec<_> = callers.iter().map(pair).collect();
        let changes = Changes::of(settings).unwrap();
        let callers = if changes.cleared { &[][..] } else { &callers };
        let texts = changes.apply(callers);
        let texts = texts
            .iter()
            .map(|text| String::from_utf8_lossy(text).into_owned());
        texts.collect()
    }

    #[test]
    fn the_last_change_of_a_variable_counts() {
        let callers = [("A", "1"), ("B", "2"), ("A", "3"), ("=C", "4")];
        let settings = [env("D", Some("x")), env("B", Some("")), env("D", None)];
        assert_eq!(applied(&callers, &settings), ["A=3", "=C=4", "B="]);
        let settings = [env("B", None), env("B", Some("5")), env("=C", None)];
        assert_eq!(applied(&callers, &settings), ["A=3", "B=5"]);
    }

    #[test]
    fn what_was_set_before_a_clearing_is_gone() {
        let callers = [("A", "1")];
        let settings = [
            env("B", Some("2")),
            Setting::EnvClear,
            env("A", None),
            env("C", Some("3")),
        ];
        assert_eq!(applied(&callers, &settings), ["C=3"]);
        assert!(applied(&callers, &[Setting::EnvClear]).is_empty());
    }

    #[test]
    fn a_variable_that_cannot_be_is_named() {
        let settings = [env("A", Some("1")), env("B=C", Some("2"))];
        let (name, error) = Changes::of(&settings).err().unwrap();
        assert_eq!(name, "B=C");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn settings_of_other_kinds_stay() {
        let mut settings = vec![Setting::Nice(1), Setting::EnvClear, Setting::Nice(2)];
        assert_eq!(changed(&mut settings).unwrap(), Texts::default());
        assert!(matches!(settings[..], [Setting::Nice(1), Setting::Nice(2)]));
    }
}
