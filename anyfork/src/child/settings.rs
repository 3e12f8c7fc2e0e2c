//! Applies the settings of a process, before user code runs in it.
//! RUNS IN: child

use std::io;
use std::os::fd::AsFd;

use crate::child::{attributes, baseline, surroundings, title};
use crate::error::{Error, Result};
use crate::spec::{Inherit, Setting};
use crate::sys::threads::OneThread;
use crate::sys::{environ, fd, process_attrs, rlimit};

/// Applies all settings, in their [`apply_order`](Setting::apply_order).
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

/// Drops root's supplementary groups in a process that gives up the rights of root,
/// unless the groups are among its settings, as std does. Where the kernel refuses,
/// the groups stay, as with std.
fn drop_groups(settings: &[Setting]) {
    let has = |wanted: fn(&Setting) -> bool| settings.iter().any(wanted);
    let changes_user = has(|it| matches!(it, Setting::User(_)));
    if changes_user && !has(|it| matches!(it, Setting::Groups(_))) && process_attrs::is_root() {
        let _ = process_attrs::set_groups(&[]);
    }
}

fn apply_one(one_thread: OneThread, it: Setting) -> Result<()> {
    let (applied, what) = match it {
        Setting::Inherit { what, prepared } => return inherit(one_thread, what, prepared),
        // The new template applies it.
        Setting::Spares(_) => return Ok(()),
        Setting::Title(text) => {
            title::custom(one_thread, &text);
            return Ok(());
        }
        Setting::Stream { number, to } => {
            let fd = to.map_or_else(|| fd::open_null(number), Ok);
            let set = fd.and_then(|fd| fd::set_standard_stream(number, fd.as_fd()));
            surroundings::own_stream(number);
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
        Setting::Directory(path) => {
            surroundings::own_directory();
            (
                process_attrs::change_directory(&path),
                format!("current_dir `{}`", path.display()),
            )
        }
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

/// Applies what a program inherits from its caller. With `prepared`, what the
/// preparation of the process has changed since the baseline stays.
fn inherit(one_thread: OneThread, what: Inherit, prepared: bool) -> Result<()> {
    let variables = match what {
        Inherit::Environment(variables) => variables,
        Inherit::Attributes(attributes) => return attributes::inherit(attributes, prepared),
    };
    let changed = match prepared {
        true => baseline::changed_variables(),
        false => Vec::new(),
    };
    environ::clear(one_thread);
    let all = variables
        .into_iter()
        .map(|(name, value)| (name, Some(value)));
    for (name, value) in all.chain(changed) {
        // A name that cannot be set was not set by a call of the program, but given to it
        // at its exec. Left out.
        let _ = environ::set_variable(one_thread, &name, value.as_deref());
    }
    Ok(())
}
