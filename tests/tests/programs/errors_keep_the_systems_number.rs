//! An error that the system has given has its number, also once it is an `io::Error`:
//! the same that std's would have. One that the system has not given has none.

use std::io;
use std::process::Command as Std;

use anyfork::{Command, Process};
use anyfork_tests::{bounded, new};

#[test]
fn as_std_has_it() {
    for (program, directory) in [
        ("/no/such/program", "/"),
        ("no-such-program-at-all", "/"),
        ("/etc", "/"),
        ("/dev/null", "/"),
        ("/bin/true/below", "/"),
        ("true", "/no/such/directory"),
        ("true", "/dev/null"),
    ] {
        let std = Std::new(program).current_dir(directory).spawn();
        let std = std.map(drop).unwrap_err();
        for mut command in [Command::new(program), new().exec(program)] {
            command.current_dir(directory);
            let errors = [
                bounded("spawn", || command.spawn().blocking()).unwrap_err(),
                bounded("status", || command.status().blocking()).unwrap_err(),
                bounded("output", || command.output().blocking()).unwrap_err(),
            ];
            for error in errors {
                let name = format!("{program} in {directory}: {error}");
                assert_eq!(error.raw_os_error(), std.raw_os_error(), "{name}");
                let error = io::Error::from(error);
                assert_eq!(error.raw_os_error(), std.raw_os_error(), "{name}");
                assert_eq!(error.kind(), std.kind(), "{name}");
            }
        }
    }
}

#[test]
fn of_a_worker_too() {
    let launches = [
        (
            new().current_dir("/no/such/directory").run("hold"),
            libc::ENOENT,
        ),
        (new().process_group(i32::MAX).run("hold"), libc::EPERM),
        (
            new().rlimit(libc::RLIMIT_NOFILE, 2, 1).run("hold"),
            libc::EINVAL,
        ),
    ];
    for (launch, number) in launches {
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        let name = error.to_string();
        assert_eq!(error.raw_os_error(), Some(number), "{name}");
        assert_eq!(
            io::Error::from(error).raw_os_error(),
            Some(number),
            "{name}"
        );
    }
    let error = Process::exec_program("/no/such/program").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn what_the_system_has_not_given_has_none() {
    let launch = new().run("nothing of that name");
    let error = bounded("a launch", || launch.blocking()).unwrap_err();
    assert_eq!(error.raw_os_error(), None, "{error}");
    assert_eq!(io::Error::from(error).raw_os_error(), None);
}

/// What cannot be there need not be removed.
#[test]
fn a_name_that_cannot_be_is_no_error_to_remove() {
    for name in ["", "=", "A=B", "=A"] {
        assert!(
            Std::new("true")
                .env_remove(name)
                .status()
                .unwrap()
                .success()
        );
        let mut command = Command::new("true");
        let status = command.env_remove(name).status();
        assert!(
            bounded("status", || status.blocking()).unwrap().success(),
            "{name:?}"
        );
        let status = new()
            .env_remove(name)
            .exec("true")
            .env_remove(name)
            .status();
        assert!(
            bounded("status", || status.blocking()).unwrap().success(),
            "{name:?}"
        );
        let worker = new().env_remove(name).fork().env_remove(name);
        anyfork_tests::release(anyfork_tests::held(worker));
    }
}
