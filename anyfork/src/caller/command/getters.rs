//! std's getters of a [`Command`], and the iterators that they return.
//! RUNS IN: caller

use std::collections::{BTreeMap, btree_map};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::slice;

use crate::caller::command::Command;
use crate::spec::Setting;

/// Getters with the names and the meaning of std's.
///
/// ```
/// use anyfork::Command;
///
/// let mut command = Command::new("ls");
/// command.args(["-l", "-a"]).current_dir("/").env("LANG", "C").env_remove("HOME");
/// assert_eq!(command.get_program(), "ls");
/// assert!(command.get_args().eq(["-l", "-a"]));
/// assert_eq!(command.get_current_dir(), Some("/".as_ref()));
/// let envs: Vec<_> = command.get_envs().collect();
/// assert_eq!(envs, [("HOME".as_ref(), None), ("LANG".as_ref(), Some("C".as_ref()))]);
/// ```
impl Command {
    /// The program, as it was given.
    ///
    /// ```
    /// # fn main() -> anyfork::Result<()> {
    /// use std::ffi::OsStr;
    /// use std::path::Path;
    ///
    /// use anyfork::Command;
    ///
    /// let mut command = Command::new("make");
    /// command.arg("all").env("CC", "clang").env_remove("CFLAGS").current_dir("/src");
    /// assert_eq!(command.get_program(), "make");
    /// assert_eq!(command.get_args().collect::<Vec<_>>(), ["all"]);
    /// assert_eq!(command.get_current_dir(), Some(Path::new("/src")));
    /// let envs: Vec<_> = command.get_envs().collect();
    /// let (cc, clang) = (OsStr::new("CC"), OsStr::new("clang"));
    /// assert_eq!(envs, [(cc, Some(clang)), (OsStr::new("CFLAGS"), None)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_program(&self) -> &OsStr {
        &self.program
    }

    /// The arguments, without the program's own name (`argv[0]`).
    pub fn get_args(&self) -> CommandArgs<'_> {
        CommandArgs(self.args.iter())
    }

    /// The variables that were set, and, with `None`, those that were removed, in the order of
    /// their names. Inherited variables are not included.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        let mut envs = BTreeMap::new();
        let mut is_cleared = false;
        for setting in self.setup.settings() {
            match setting {
                Setting::EnvClear => {
                    envs.clear();
                    is_cleared = true;
                }
                // As with std, nothing is left to remove.
                Setting::Env(name, None) if is_cleared => {
                    envs.remove(name.as_os_str());
                }
                Setting::Env(name, value) => {
                    envs.insert(name.as_os_str(), value.as_deref());
                }
                _ => {}
            }
        }
        CommandEnvs(envs.into_iter())
    }

    /// The directory, if one was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        let settings = self.setup.settings().iter();
        settings.rev().find_map(|setting| match setting {
            Setting::Directory(path) => Some(path.as_path()),
            _ => None,
        })
    }
}

/// The arguments of a [`Command`]: [`Command::get_args`].
///
/// ```
/// use anyfork::{Command, CommandArgs};
///
/// let mut command = Command::new("git");
/// command.args(["log", "--oneline"]);
/// let args: CommandArgs = command.get_args();
/// assert_eq!(args.len(), 2);
/// assert_eq!(args.rev().next(), Some("--oneline".as_ref()));
/// ```
#[derive(Clone, Debug)]
pub struct CommandArgs<'a>(slice::Iter<'a, OsString>);

impl<'a> Iterator for CommandArgs<'a> {
    type Item = &'a OsStr;

    fn next(&mut self) -> Option<&'a OsStr> {
        self.0.next().map(OsString::as_os_str)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for CommandArgs<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(OsString::as_os_str)
    }
}

impl ExactSizeIterator for CommandArgs<'_> {}

/// The variables of a [`Command`]: [`Command::get_envs`].
///
/// ```
/// use anyfork::{Command, CommandEnvs};
///
/// let mut command = Command::new("make");
/// command.env("CC", "clang").env_remove("CFLAGS");
/// let envs: CommandEnvs = command.get_envs();
/// let removed: Vec<_> = envs.filter(|(_, value)| value.is_none()).collect();
/// assert_eq!(removed, [("CFLAGS".as_ref(), None)]);
/// ```
#[derive(Debug)]
pub struct CommandEnvs<'a>(btree_map::IntoIter<&'a OsStr, Option<&'a OsStr>>);

impl<'a> Iterator for CommandEnvs<'a> {
    type Item = (&'a OsStr, Option<&'a OsStr>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for CommandEnvs<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes the same calls of both builders, and compares what they return then.
    macro_rules! assert_same {
        ($($method:ident($($arg:expr),*)).*) => {{
            let mut ours = Command::new("program");
            ours.$($method($($arg),*)).*;
            let mut stds = std::process::Command::new("program");
            stds.$($method($($arg),*)).*;
            assert_eq!(ours.get_program(), stds.get_program());
            assert!(ours.get_args().eq(stds.get_args()));
            assert_eq!(ours.get_args().len(), stds.get_args().len());
            assert!(ours.get_envs().eq(stds.get_envs()), "{:?}", ours.get_envs());
            assert_eq!(ours.get_envs().len(), stds.get_envs().len());
            assert_eq!(ours.get_current_dir(), stds.get_current_dir());
        }};
    }

    #[test]
    fn getters_return_what_stds_do() {
        assert_same!(arg("one").args(["two", "three"]));
        assert_same!(current_dir("/").current_dir("relative"));
        assert_same!(env("B", "1").env("A", "2").env_remove("C").env("B", "3"));
        assert_same!(env("A", "1").env_remove("A"));
        assert_same!(env("A", "1").env_clear().env_remove("A").env("B", "2"));
        assert_same!(env_clear().env("A", "1").env_remove("A"));
        assert_same!(envs([("A", "1"), ("B", "2")]).env_remove("B"));
    }
}
