//! What a process is asked to be: settings, steps, and the program it becomes.
//! RUNS IN: caller, child
//!
//! Plain data. The caller collects it, [`protocol`](crate::protocol) carries it,
//! and the child applies it.

pub(crate) mod name;
pub(crate) mod texts;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::args::Args;
use crate::args::value::Arg;
use crate::spec::name::FunctionName;
use crate::spec::texts::Texts;
pub(crate) use crate::sys::attributes::Attributes;

/// One setting, applied before any of the user's code runs in the process.
#[derive(Debug)]
pub(crate) enum Setting {
    /// A standard stream becomes this descriptor, or `/dev/null`.
    Stream { number: u8, to: Option<OwnedFd> },
    /// The cgroup, by its directory.
    Cgroup(PathBuf),
    /// A session of its own (setsid(2)).
    Session,
    /// The terminal that becomes the session's.
    Terminal(OwnedFd),
    /// The process group (setpgid(2)); 0 stands for a new group.
    ProcessGroup(i32),
    /// The rights that new files do not get (umask(2)).
    Umask(u32),
    /// A signal that is ignored (signal(7)).
    IgnoreSignal(i32),
    /// The limits of a resource (setrlimit(2)).
    Limit { resource: u32, soft: u64, hard: u64 },
    /// Added to the nice value.
    Nice(i32),
    /// The processors, by their numbers (sched_setaffinity(2)).
    Affinity(Vec<u32>),
    /// The place in the kernel's choice when memory is short.
    OomScore(i32),
    /// The root directory (chroot(2)).
    Root(PathBuf),
    /// The supplementary groups.
    Groups(Vec<u32>),
    /// The group id.
    Group(u32),
    /// The user id.
    User(u32),
    /// No program that is executed gets more rights (prctl(2)).
    NoNewPrivs,
    /// The current directory.
    Directory(PathBuf),
    /// All variables are removed.
    EnvClear,
    /// A variable is set, or removed.
    Env(OsString, Option<OsString>),
    /// The title that lists of processes show.
    Title(String),
    /// The number of spares that a template keeps.
    Spares(u32),
    /// What an external program inherits from its caller, unless another setting
    /// replaces it. With `prepared`, what has changed in the process since its
    /// template was forked stays.
    Inherit { what: Inherit, prepared: bool },
}

/// What a program inherits, as the caller has it when the program starts.
#[derive(Debug)]
pub(crate) enum Inherit {
    /// Each text is `NAME=value`.
    Environment(Texts),
    Attributes(Attributes),
}

impl Setting {
    /// The place of the setting in the order of applying, whatever the order of the
    /// calls: what needs rights comes before the process gives them up, and the user
    /// that will work in the directory changes to it. `Process::env` documents the
    /// order.
    pub(crate) fn apply_order(&self) -> u8 {
        match self {
            Setting::Stream { .. } => 0,
            Setting::Cgroup(_) => 1,
            Setting::Session => 2,
            Setting::Terminal(_) => 3,
            Setting::ProcessGroup(_) => 4,
            Setting::Umask(_) | Setting::IgnoreSignal(_) => 5,
            Setting::Limit { .. } => 6,
            Setting::Nice(_) => 7,
            Setting::Affinity(_) => 8,
            Setting::OomScore(_) => 9,
            Setting::Root(_) => 10,
            Setting::Groups(_) => 11,
            Setting::Group(_) => 12,
            Setting::User(_) => 13,
            Setting::NoNewPrivs => 14,
            Setting::Directory(_) => 15,
            Setting::EnvClear | Setting::Env(..) => 16,
            Setting::Title(_) | Setting::Spares(_) => 17,
            Setting::Inherit { what, .. } => match what {
                Inherit::Attributes(_) => 0,
                Inherit::Environment(_) => 16,
            },
        }
    }

    /// Number of bytes of its texts, of those that may be long.
    pub(crate) fn size(&self) -> usize {
        match self {
            Setting::Env(name, value) => name.len() + value.as_ref().map_or(0, |it| it.len()),
            Setting::Inherit {
                what: Inherit::Environment(texts),
                ..
            } => texts.as_bytes().len(),
            Setting::Title(title) => title.len(),
            Setting::Groups(groups) => 4 * groups.len(),
            _ => 0,
        }
    }

    /// Whether a variable that is set, or a path, has a NUL in it, which the kernel refuses.
    pub(crate) fn has_nul(&self) -> bool {
        let has_nul = |text: &OsStr| text.as_encoded_bytes().contains(&0);
        match self {
            Setting::Cgroup(path) | Setting::Root(path) | Setting::Directory(path) => {
                has_nul(path.as_os_str())
            }
            Setting::Env(name, Some(value)) => has_nul(name) || has_nul(value),
            _ => false,
        }
    }

    /// A copy of the setting, with a duplicate of its descriptor.
    pub(crate) fn try_clone(&self) -> io::Result<Setting> {
        Ok(match self {
            Setting::Stream { number, to } => Setting::Stream {
                number: *number,
                to: to.as_ref().map(OwnedFd::try_clone).transpose()?,
            },
            Setting::Cgroup(path) => Setting::Cgroup(path.clone()),
            Setting::Session => Setting::Session,
            Setting::Terminal(terminal) => Setting::Terminal(terminal.try_clone()?),
            Setting::ProcessGroup(group) => Setting::ProcessGroup(*group),
            Setting::Umask(mask) => Setting::Umask(*mask),
            Setting::IgnoreSignal(signal) => Setting::IgnoreSignal(*signal),
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
            Setting::Affinity(numbers) => Setting::Affinity(numbers.clone()),
            Setting::OomScore(score) => Setting::OomScore(*score),
            Setting::Root(path) => Setting::Root(path.clone()),
            Setting::Groups(groups) => Setting::Groups(groups.clone()),
            Setting::Group(id) => Setting::Group(*id),
            Setting::User(id) => Setting::User(*id),
            Setting::NoNewPrivs => Setting::NoNewPrivs,
            Setting::Directory(path) => Setting::Directory(path.clone()),
            Setting::EnvClear => Setting::EnvClear,
            Setting::Env(name, value) => Setting::Env(name.clone(), value.clone()),
            Setting::Title(title) => Setting::Title(title.clone()),
            Setting::Spares(count) => Setting::Spares(*count),
            Setting::Inherit { what, prepared } => Setting::Inherit {
                what: match what {
                    Inherit::Environment(all) => Inherit::Environment(all.clone()),
                    Inherit::Attributes(all) => Inherit::Attributes(all.clone()),
                },
                prepared: *prepared,
            },
        })
    }
}

/// One step of a preparation, taken in order before the process runs a worker, is
/// forked from, or executes a program.
#[derive(Debug)]
pub(crate) enum Step {
    /// Adds an argument to those that the worker will get.
    Arg(Arg),
    /// Runs an init function.
    Init {
        name: FunctionName<'static>,
        args: Args,
    },
    /// Loads a plugin.
    Require(PathBuf),
}

impl Step {
    /// A copy of the step, with duplicates of its descriptors.
    pub(crate) fn try_clone(&self) -> io::Result<Step> {
        Ok(match self {
            Step::Arg(arg) => Step::Arg(arg.try_clone()?),
            Step::Init { name, args } => Step::Init {
                name: name.clone(),
                args: args.try_clone()?,
            },
            Step::Require(path) => Step::Require(path.clone()),
        })
    }
}

/// An external program that a process becomes.
#[derive(Debug)]
pub(crate) struct Program {
    /// A path, or a name to look for in `PATH`.
    pub(crate) path: OsString,
    /// The program's name for itself.
    pub(crate) arg0: OsString,
    /// The arguments that follow those that the process has collected.
    pub(crate) args: Vec<OsString>,
    /// Descriptors, and the numbers at which the program finds them.
    pub(crate) fds: Vec<(OwnedFd, i32)>,
}
