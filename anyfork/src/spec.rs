//! What is set in a process before any of the user's code runs there. The
//! caller's side collects settings, the child's side applies them.

pub(crate) mod step;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// One setting.
#[derive(Debug)]
pub(crate) enum Setting {
    /// A standard stream becomes this descriptor, or `/dev/null`.
    Stream { number: u8, to: Option<OwnedFd> },
    /// `setpgid(2)`; 0 stands for a group of its own.
    ProcessGroup(i32),
    /// `setrlimit(2)`.
    Limit { resource: u32, soft: u64, hard: u64 },
    /// Added to the nice value.
    Nice(i32),
    /// The supplementary groups.
    Groups(Vec<u32>),
    /// The group.
    Group(u32),
    /// The user.
    User(u32),
    /// The directory.
    Directory(PathBuf),
    /// All variables are removed.
    EnvClear,
    /// A variable is set, or removed.
    Env(OsString, Option<OsString>),
    /// What the process is called in a list of processes.
    Title(String),
    /// How many spares a template has.
    Spares(u32),
    /// What an external program has from its caller, unless it is said otherwise.
    /// With `prepared`, what has changed in the process since its template was
    /// born is left as it is.
    Inherit { what: Inherit, prepared: bool },
}

/// What is inherited from the caller, as it is there when the program starts.
#[derive(Debug)]
pub(crate) enum Inherit {
    Stream(u8, OwnedFd),
    Directory(OwnedFd),
    Environment(Vec<(OsString, OsString)>),
}

impl Setting {
    /// When it is applied, whatever the order of the calls: what needs rights
    /// comes before they are given up, and the directory is entered by the user
    /// that will work in it. The order is documented at `Process::env`.
    pub(crate) fn apply_order(&self) -> u8 {
        match self {
            Setting::Stream { .. } => 0,
            Setting::ProcessGroup(_) => 1,
            Setting::Limit { .. } => 2,
            Setting::Nice(_) => 3,
            Setting::Groups(_) => 4,
            Setting::Group(_) => 5,
            Setting::User(_) => 6,
            Setting::Directory(_) => 7,
            Setting::EnvClear | Setting::Env(..) => 8,
            Setting::Title(_) | Setting::Spares(_) => 9,
            Setting::Inherit { what, .. } => match what {
                Inherit::Stream(..) => 0,
                // No directory is entered anew: std's child is there already,
                // whatever its user may do.
                Inherit::Directory(_) => 0,
                Inherit::Environment(_) => 8,
            },
        }
    }

    /// Whether a variable or a directory has a NUL in it.
    pub(crate) fn has_nul(&self) -> bool {
        let has_nul = |text: &OsStr| text.as_encoded_bytes().contains(&0);
        match self {
            Setting::Directory(path) => has_nul(path.as_os_str()),
            Setting::Env(name, value) => has_nul(name) || value.as_deref().is_some_and(has_nul),
            _ => false,
        }
    }

    /// The same setting once more, with a duplicate of its descriptor.
    pub(crate) fn try_clone(&self) -> io::Result<Setting> {
        Ok(match self {
            Setting::Stream { number, to } => Setting::Stream {
                number: *number,
                to: to.as_ref().map(OwnedFd::try_clone).transpose()?,
            },
            Setting::ProcessGroup(group) => Setting::ProcessGroup(*group),
            Setting::Limit {
                resource,
                soft,
                hard,
            } => Setting::Limit {
                resource: *resource,
                soft: *soft,
                hard: *hard,
            },
            Setting::Nice(step) => Setting::Nice(*step),
            Setting::Groups(groups) => Setting::Groups(groups.clone()),
            Setting::Group(id) => Setting::Group(*id),
            Setting::User(id) => Setting::User(*id),
            Setting::Directory(path) => Setting::Directory(path.clone()),
            Setting::EnvClear => Setting::EnvClear,
            Setting::Env(name, value) => Setting::Env(name.clone(), value.clone()),
            Setting::Title(title) => Setting::Title(title.clone()),
            Setting::Spares(count) => Setting::Spares(*count),
            Setting::Inherit { what, prepared } => Setting::Inherit {
                what: match what {
                    Inherit::Stream(number, fd) => Inherit::Stream(*number, fd.try_clone()?),
                    Inherit::Directory(fd) => Inherit::Directory(fd.try_clone()?),
                    Inherit::Environment(all) => Inherit::Environment(all.clone()),
                },
                prepared: *prepared,
            },
        })
    }
}
