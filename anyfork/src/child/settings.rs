//! Applies what was set for a process, before any of the user's code runs in
//! it.

use std::io;
use std::os::fd::AsFd;

use crate::child::{baseline, title};
use crate::error::{Error, Result};
use crate::spec::{Inherit, Setting};
use crate::sys::threads::OneThread;
use crate::sys::{environ, fd, process_attrs, rlimit};

/// Applies all settings, in the order of their ranks.
pub(crate) fn apply(one_thread: OneThread, mut settings: Vec<Setting>) -> Result<()> {
    if settings.is_empty() {
        return Ok(());
    }
    settings.sort_by_key(Setting::apply_order);
    drop_groups(&settings);
    settings
        .into_iter()
        .try_for_each(|it| apply_one(one_thread, it))
}

/// A process that gives up the rights of root gives up root's groups, too,
/// unless it was told which to have: as std does. A root that may not do so keeps
/// them, there and here.
fn drop_groups(settings: &[Setting]) {
    let has = |wanted: fn(&Setting) -> bool| settings.iter().any(wanted);
    let changes_user = has(|it| matches!(it, Setting::User(_)));
    if changes_user && !has(|it| matches!(it, Setting::Groups(_))) && process_attrs::is_root() {
        let _ = process_attrs::set_groups(&[]);
    }
}

fn apply_one(one_thread: OneThread, it: Setting) -> Result<()> {
    let (applied, what) = match it {
        Setting::Inherit { what, prepared } => return take_over(one_thread, what, prepared),
        // It is for the template to come.
        Setting::Spares(_) => return Ok(()),
        Setting::Title(text) => {
            title::given(one_thread, &text);
            return Ok(());
        }
        Setting::Stream { number, to } => {
            let fd = to.map_or_else(|| fd::open_null(number), Ok);
            let set = fd.and_then(|fd| fd::set_standard_stream(number, fd.as_fd()));
            (set, STREAMS[usize::from(number)].to_owned())
        }
        Setting::ProcessGroup(group) => (
            process_attrs::set_process_group(group),
            format!("process_group {group}"),
        ),
        Setting::Limit {
            resource,
            soft,
            hard,
        } => (
            rlimit::set_limit(resource, soft, hard),
            format!("rlimit {resource} to {soft} and {hard}"),
        ),
        Setting::Nice(step) => (process_attrs::add_nice(step), format!("nice {step}")),
        Setting::Groups(groups) => (
            process_attrs::set_groups(&groups),
            format!("groups {groups:?}"),
        ),
        Setting::Group(id) => (process_attrs::set_group(id), format!("gid {id}")),
        Setting::User(id) => (process_attrs::set_user(id), format!("uid {id}")),
        Setting::Directory(path) => (
            process_attrs::change_directory(&path),
            format!("current_dir `{}`", path.display()),
        ),
        Setting::EnvClear => {
            environ::clear(one_thread);
            return Ok(());
        }
        Setting::Env(name, value) => (
            environ::set_variable(one_thread, &name, value.as_deref()),
            format!("env `{}`", name.display()),
        ),
    };
    applied.map_err(|error| failed(&what, error))
}

const STREAMS: [&str; 3] = ["stdin", "stdout", "stderr"];

fn failed(what: &str, error: io::Error) -> Error {
    Error::io(format_args!("set {what}"), error)
}

/// Takes over what a program is to have from its caller; with `prepared`, what
/// the process's preparation has changed stays.
fn take_over(one_thread: OneThread, what: Inherit, prepared: bool) -> Result<()> {
    match what {
        Inherit::Stream(number, _) if prepared && baseline::has_other_stream(number) => Ok(()),
        Inherit::Stream(number, fd) => fd::set_standard_stream(number, fd.as_fd())
            .map_err(|error| failed(STREAMS[usize::from(number)], error)),
        Inherit::Directory(_) if prepared && baseline::has_other_directory() => Ok(()),
        Inherit::Directory(fd) => process_attrs::change_to_open_directory(fd.as_fd())
            .map_err(|error| failed("the directory to the caller's", error)),
        Inherit::Environment(variables) => {
            let changed = match prepared {
                true => baseline::changed_variables(),
                false => Vec::new(),
            };
            environ::clear(one_thread);
            let all = variables
                .into_iter()
                .map(|(name, value)| (name, Some(value)));
            for (name, value) in all.chain(changed) {
                // A name that cannot be set has come from elsewhere than from
                // a program's own calls, and is left out.
                let _ = environ::set_variable(one_thread, &name, value.as_deref());
            }
            Ok(())
        }
    }
}
