//! Applies the settings of a process, before user code runs in it.
//! RUNS IN: child

use std::io;
use std::os::fd::AsFd;

use crate::child::environment::{self, Change};
use crate::child::{attributes, own_limits, surroundings, title};
use crate::error::{Error, Result};
use crate::resource::Resource;
use crate::spec::{Inherit, Setting};
use crate::sys::threads::OneThread;
use crate::sys::{attributes as sys_attributes, fd, process_attrs, rlimit, signal};

/// Applies all settings, in their [`apply_order`](Setting::apply_order).
pub(crate) fn apply(one_thread: OneThread, mut settings: Vec<Setting>) -> Result<()> {
    if settings.is_empty() {
        return Ok(());
    }
    settings.sort_by_key(Setting::apply_order);
    drop_groups(&settings);
    let mut changes = Vec::new();
    let mut others = Vec::new();
    for setting in settings {
        match setting {
            Setting::EnvClear => changes.push(Change::Clear),
            Setting::Env(name, value) => changes.push(Change::Set(name, value)),
            Setting::Inherit {
                what: Inherit::Environment(variables),
                prepared,
            } => changes.push(Change::Inherit {
                variables,
                prepared,
            }),
            other => others.push(other),
        }
    }
    // The environment is the last in the order, but for what has no order.
    others
        .into_iter()
        .try_for_each(|it| apply_one(one_thread, it))?;
    environment::change(one_thread, changes)
        .map_err(|(name, error)| failed(&format!("env `{}`", name.display()), error))
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
        Setting::Inherit {
            what: Inherit::Attributes(attributes),
            prepared,
        } => return attributes::inherit(&attributes, prepared),
        // Applied together, at the end.
        Setting::EnvClear | Setting::Env(..) | Setting::Inherit { .. } => return Ok(()),
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
        Setting::Cgroup(path) => (
            process_attrs::join_cgroup(&path),
            format!("cgroup `{}`", path.display()),
        ),
        Setting::Session => (process_attrs::new_session(), "setsid".to_owned()),
        Setting::Terminal(terminal) => (
            process_attrs::set_terminal(terminal.as_fd()),
            "controlling_terminal".to_owned(),
        ),
        Setting::Umask(mask) => {
            sys_attributes::set_umask(mask);
            return Ok(());
        }
        Setting::IgnoreSignal(number) => {
            (signal::ignore(number), format!("ignore_signal {number}"))
        }
        Setting::Affinity(numbers) => (
            sys_attributes::set_of_processors(&numbers)
                .and_then(|set| sys_attributes::set_affinity(&set)),
            format!("affinity {numbers:?}"),
        ),
        Setting::OomScore(score) => (
            sys_attributes::set_oom_score_adj(score),
            format!("oom_score_adj {score}"),
        ),
        Setting::Root(path) => {
            surroundings::own_root();
            (
                process_attrs::change_root(&path),
                format!("chroot `{}`", path.display()),
            )
        }
        Setting::NoNewPrivs => (process_attrs::set_no_new_privs(), "no_new_privs".to_owned()),
        Setting::ProcessGroup(group) => (
            process_attrs::set_process_group(group),
            format!("process_group {group}"),
        ),
        Setting::Limit {
            resource,
            soft,
            hard,
        } => (
            rlimit::set_limit(resource, soft, hard).inspect(|()| own_limits::note(resource)),
            format!("rlimit {} to {soft} and {hard}", Resource::from(resource)),
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
    };
    applied.map_err(|error| failed(&what, error))
}

const STREAMS: [&str; 3] = ["stdin", "stdout", "stderr"];

fn failed(what: &str, error: io::Error) -> Error {
    Error::io(format_args!("set {what}"), error)
}
