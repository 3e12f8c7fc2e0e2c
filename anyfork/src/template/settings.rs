//! Applies what was set for a process, before any of the user's code runs in
//! it.

use std::os::fd::AsFd;

use super::title;
use crate::error::{Error, ErrorKind, Result};
use crate::settings::Setting;
use crate::sys::setting;

/// Applies all settings, in the order of their ranks.
pub(super) fn apply(mut settings: Vec<Setting>) -> Result<()> {
    if settings.is_empty() {
        return Ok(());
    }
    settings.sort_by_key(Setting::rank);
    drop_groups(&mut settings);
    settings.into_iter().try_for_each(apply_one)
}

/// A process that gives up the rights of root gives up root's groups, too,
/// unless it was told which to have: as std does.
fn drop_groups(settings: &mut Vec<Setting>) {
    let has = |wanted: fn(&Setting) -> bool| settings.iter().any(wanted);
    let changes_user = has(|it| matches!(it, Setting::User(_)));
    if changes_user && !has(|it| matches!(it, Setting::Groups(_))) && setting::is_root() {
        settings.insert(0, Setting::Groups(Vec::new()));
        settings.sort_by_key(Setting::rank);
    }
}

fn apply_one(it: Setting) -> Result<()> {
    let (applied, what) = match it {
        Setting::Title(text) => {
            title::given(&text);
            return Ok(());
        }
        Setting::Stream { number, to } => {
            let fd = to.map_or_else(setting::null, Ok);
            let set = fd.and_then(|fd| setting::stream(number, fd.as_fd()));
            (
                set,
                ["stdin", "stdout", "stderr"][usize::from(number)].to_owned(),
            )
        }
        Setting::ProcessGroup(group) => (
            setting::process_group(group),
            format!("process_group {group}"),
        ),
        Setting::Limit {
            resource,
            soft,
            hard,
        } => (
            setting::limit(resource, soft, hard),
            format!("rlimit {resource} to {soft} and {hard}"),
        ),
        Setting::Nice(step) => (setting::nice(step), format!("nice {step}")),
        Setting::Groups(groups) => (setting::groups(&groups), format!("groups {groups:?}")),
        Setting::Group(id) => (setting::group(id), format!("gid {id}")),
        Setting::User(id) => (setting::user(id), format!("uid {id}")),
        Setting::Directory(path) => (
            setting::directory(&path),
            format!("current_dir `{}`", path.display()),
        ),
        Setting::EnvClear => {
            setting::clear_environment();
            return Ok(());
        }
        Setting::Env(name, value) => (
            setting::variable(&name, value.as_deref()),
            format!("env `{}`", name.display()),
        ),
    };
    applied.map_err(|error| Error::os(ErrorKind::Io, format_args!("set {what}"), error))
}
