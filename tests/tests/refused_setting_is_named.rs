//! A setting that cannot be applied fails the launch, or the preparation of a
//! template and all launches from it: the message names it, the source is the
//! system's, and no process is left.

use std::fs::File;
use std::future::IntoFuture;

use anyfork::{Error, ErrorKind, Process};
use anyfork_tests::births::{Folder, serving};
use anyfork_tests::rights::{NOBODY, may_become_nobody};
use anyfork_tests::{
    Scene, alone, bounded, children, early_template, error_number, held, release, runtime,
    try_held, until,
};
use nix::unistd::geteuid;

#[anyfork::early]
fn preload() {}

/// Of a process that is forked from `base`, all the ways to find out that what
/// `set` sets is refused.
fn errors(base: &Process, set: impl Fn(Process) -> Process) -> Vec<Error> {
    let failing = || set(base.fork());
    let template = failing();
    let (nested, after) = (template.fork().send_arg("x"), failing().init("no", ()));
    let launch = |process: Process| try_held(process).expect_err("a worker was entered");
    let prepare = |process: Process| {
        let launch = process.prepare();
        bounded("a preparation", || launch.blocking()).expect_err("it was prepared")
    };
    let mut errors = vec![
        launch(failing()),
        launch(template.fork()),
        launch(template.fork()),
        launch(nested.fork().fork()),
        // Nothing comes before the settings, not even the look for an init.
        launch(after),
        prepare(failing()),
        prepare(template),
        failing().into_fd().expect_err("it was prepared"),
    ];
    let runtime = runtime();
    bounded("a runtime", || {
        runtime.block_on(async {
            let template = failing();
            let prepared = failing().prepare().await;
            errors.extend([
                failing().run("hold").await.expect_err("it was entered"),
                template.fork().run("hold").await.expect_err("it was there"),
                prepared.expect_err("it was prepared"),
            ]);
            // At once.
            let launches: Vec<_> = (0..5)
                .map(|_| tokio::spawn(failing().run("hold").into_future()))
                .collect();
            for launch in launches {
                errors.push(launch.await.unwrap().expect_err("it was entered"));
            }
        });
    });
    errors
}

fn assert_refused(base: &Process, name: &str, errno: i32, set: impl Fn(Process) -> Process) {
    for error in errors(base, set) {
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(error_number(&error), Some(errno), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("set {name}")), "{name} in {text}");
    }
}

/// The same in a process with the default template.
fn must_refuse(name: &str, errno: i32, set: impl Fn(Process) -> Process) {
    let _alone = alone();
    let early = Scene::early();
    let base = Process::new().unwrap().send_arg("base");
    let pid = serving(&base);
    let scene = Scene::settled(pid);
    assert_refused(&base, name, errno, set);
    scene.must_return();
    // It serves as before.
    release(held(base.fork()));
    drop(base);
    early.must_return();
}

#[test]
fn a_directory_that_is_not_there() {
    must_refuse("current_dir `/nowhere/at/all`", libc::ENOENT, |process| {
        process.current_dir("/nowhere/at/all")
    });
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), "refused");
    let file = folder.join("file");
    File::create(&file).unwrap();
    let name = format!("current_dir `{}`", file.display());
    must_refuse(&name, libc::ENOTDIR, |process| process.current_dir(&file));
    must_refuse("current_dir", libc::EINVAL, |process| {
        process.current_dir("/nul\0in it")
    });
    must_refuse("current_dir ``", libc::ENOENT, |process| {
        process.current_dir("")
    });
}

#[test]
fn a_process_group_that_is_not_there() {
    // More than any pid.
    must_refuse("process_group 2147483647", libc::EPERM, |process| {
        process.process_group(i32::MAX)
    });
    must_refuse("process_group -1", libc::EINVAL, |process| {
        process.process_group(-1)
    });
}

#[test]
fn a_soft_limit_above_the_hard_one() {
    let files = libc::RLIMIT_NOFILE;
    must_refuse(
        "rlimit RLIMIT_NOFILE to 20 and 10",
        libc::EINVAL,
        |process| process.rlimit(files, 20, 10),
    );
    must_refuse("rlimit resource 1000 to 1 and 2", libc::EINVAL, |process| {
        process.rlimit(1000, 1, 2)
    });
}

#[test]
fn a_variable_that_cannot_be() {
    for (name, value) in [
        ("ANYFORK=A", "x"),
        ("=", "x"),
        ("", "x"),
        ("ANYFORK\0A", "x"),
        ("ANYFORK_A", "x\0y"),
        ("ANYFORK_A", "\0"),
    ] {
        let text = format!("env `{name}`");
        must_refuse(&text, libc::EINVAL, |process| process.env(name, value));
    }
    must_refuse("env `ANYFORK=A`", libc::EINVAL, |process| {
        process.envs([("ANYFORK_A", "x"), ("ANYFORK=A", "x")])
    });
}

#[test]
fn ids_that_nobody_has() {
    // All ones stand for "none" (setuid(2)).
    must_refuse("gid 4294967295", libc::EINVAL, |process| {
        process.gid(u32::MAX)
    });
    // Root's groups would go first, and not everybody may do that.
    if !geteuid().is_root() || may_become_nobody() {
        must_refuse("uid 4294967295", libc::EINVAL, |process| {
            process.uid(u32::MAX)
        });
    }
}

/// What only root may set: in a process that has given up the rights of root.
#[test]
fn what_is_not_permitted() {
    let _alone = alone();
    let early = early_template();
    let plain = Process::new().unwrap();
    let base = match geteuid().is_root() {
        false => plain.send_arg("base"),
        true if !may_become_nobody() => return,
        true => plain.uid(NOBODY),
    };
    let base = base.rlimit(libc::RLIMIT_CORE, 0, 0);
    let pid = serving(&base);
    type Set = fn(Process) -> Process;
    let refused: [(&str, Set); 6] = [
        ("uid 65533", |it| it.uid(NOBODY - 1)),
        ("gid 65533", |it| it.gid(NOBODY - 1)),
        ("groups [7, 8]", |it| it.groups([7, 8])),
        ("nice -1", |it| it.nice(-1)),
        ("rlimit RLIMIT_CORE to 1 and 1", |it| {
            it.rlimit(libc::RLIMIT_CORE, 1, 1)
        }),
        // The others are not the culprits.
        ("uid 65533", |it| {
            let it = it.env("A", "b").current_dir("/").uid(NOBODY - 1);
            it.nice(1).process_group(0)
        }),
    ];
    for (name, set) in refused {
        assert_refused(&base, name, libc::EPERM, set);
        // Another user's descriptors are not for everyone to see.
        until("no process is left", || children(pid).is_empty());
    }
    release(held(base.fork()));
    drop(base);
    until("the template is gone", || children(early).is_empty());
}

/// The first that fails, in the order in which they are applied.
#[test]
fn the_first_of_several_is_named() {
    must_refuse("process_group -1", libc::EINVAL, |process| {
        let process = process.env("", "x").current_dir("/nowhere/at/all");
        process.process_group(-1)
    });
    must_refuse("current_dir", libc::ENOENT, |process| {
        process.env("", "x").current_dir("/nowhere/at/all")
    });
    must_refuse("env `=`", libc::EINVAL, |process| {
        process.env("=", "x").env("", "x")
    });
}

/// What lists of processes cannot show is left out.
#[test]
fn a_title_is_never_refused() {
    let _alone = alone();
    for title in ["a\0b", "\0ab", "ab\0", "\0", ""] {
        let worker = held(Process::new().unwrap().title(title));
        let name = std::fs::read_to_string(format!("/proc/{}/comm", worker.pid()));
        assert_eq!(name.unwrap().trim_end(), title.replace('\0', ""));
        release(worker);
    }
    let template = Process::new().unwrap().title("\0");
    let template = template.prepare().blocking().unwrap();
    release(held(template.fork()));
}
