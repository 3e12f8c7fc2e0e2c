//! A process that is to have other ids, groups or rights has them, whatever the
//! order of the calls: what only root may do comes before root's rights are given
//! up, and root's groups go with them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::id;

use anyfork::{ErrorKind, Process};
use anyfork_tests::births::Folder;
use anyfork_tests::rights::{NOBODY, SYS_NICE, SYS_RESOURCE, may, may_become_nobody};
use anyfork_tests::{error_number, limits, look_at, new, nice_of, status, try_held};

#[anyfork::early]
fn preload() {}

/// `Uid`, `Gid` and `Groups` of `/proc/<pid>/status`.
fn ids(process: Process) -> [Vec<u32>; 3] {
    look_at(process, |worker| {
        ["Uid", "Gid", "Groups"].map(|field| {
            let values = status(worker.pid(), field);
            let numbers = values.split_whitespace().map(|it| it.parse().unwrap());
            numbers.collect()
        })
    })
}

#[test]
fn ids_are_set_whatever_the_order_of_the_calls() {
    if !may_become_nobody() {
        return;
    }
    // The user last, or the others could not be set any more.
    let process = new().uid(NOBODY).gid(NOBODY - 1).groups([7, 8]);
    let all = [vec![NOBODY; 4], vec![NOBODY - 1; 4], vec![7, 8]];
    assert_eq!(ids(process), all);
    let template = new().groups([7, 8]).gid(NOBODY - 1).uid(NOBODY);
    assert_eq!(ids(template.fork()), all);
    assert_eq!(ids(template.fork().fork()), all);
}

#[test]
fn groups_go_with_the_rights_of_root() {
    if !may_become_nobody() {
        return;
    }
    let [user, group, _] = ids(new());
    let root = new().groups([7, 8]);
    assert_eq!(
        ids(root.fork()),
        [user.clone(), group.clone(), vec![7, 8]],
        "as long as the user stays"
    );
    assert_eq!(
        ids(root.fork().gid(NOBODY)),
        [user, vec![NOBODY; 4], vec![7, 8]]
    );
    assert_eq!(
        ids(root.fork().uid(NOBODY)),
        [vec![NOBODY; 4], group.clone(), vec![]]
    );
    assert_eq!(
        ids(root.fork().uid(NOBODY).groups([9])),
        [vec![NOBODY; 4], group, vec![9]]
    );
}

#[test]
fn what_needs_rights_comes_before_they_are_given_up() {
    if may_become_nobody() && may(SYS_NICE) {
        let urgent = new().uid(NOBODY).nice(-1 - nice_of(id()));
        assert_eq!(look_at(urgent, |it| nice_of(it.pid())), -1);
    }
    if may_become_nobody() && may(SYS_RESOURCE) {
        let core = libc::RLIMIT_CORE;
        let none = new().rlimit(core, 0, 0);
        let raised = none.fork().uid(NOBODY).rlimit(core, 1, 2);
        let limits = look_at(raised, |it| limits(it.pid(), "Max core file size"));
        assert_eq!(limits, ["1", "2"]);
    }
}

#[test]
fn a_directory_is_entered_by_the_user_that_works_there() {
    if !may_become_nobody() {
        return;
    }
    let path = Folder::new(env!("CARGO_TARGET_TMPDIR"), "closed");
    fs::set_permissions(&*path, Permissions::from_mode(0o700)).unwrap();
    let root = new().current_dir(&*path);
    let link = look_at(root, |it| fs::read_link(format!("/proc/{}/cwd", it.pid())));
    assert_eq!(link.unwrap(), path.canonicalize().unwrap());
    for process in [
        new().current_dir(&*path).uid(NOBODY),
        new().uid(NOBODY).current_dir(&*path),
    ] {
        let error = try_held(process).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(error_number(&error), Some(libc::EACCES));
        assert!(error.to_string().contains("current_dir"), "{error}");
    }
}
