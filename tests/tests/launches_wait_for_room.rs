//! A launch for which the descriptor table has no room waits as long as operations of this
//! program hold descriptors that will come back: other launches, and waits for processes.
//! Where there is none it fails at once, and its time limit holds in any case.

use std::fs::File;
use std::future::IntoFuture;
use std::io;
use std::pin::pin;
use std::process::id;
use std::thread;
use std::time::Duration;

use anyfork::{Child, Command, ErrorKind};
use anyfork_tests::{alone, bounded, new, poll_once, runtime, runtime_of_two, set_soft_limit};

#[anyfork::early]
fn preload() {}

#[anyfork::worker]
fn nothing() {}

/// Fills the descriptor table but for so many entries, as long as it lives.
struct Full {
    files: Vec<File>,
    before: u64,
}

impl Full {
    fn but_for(free: usize) -> Full {
        let before = set_soft_limit(id(), libc::RLIMIT_NOFILE, 300).unwrap();
        let mut files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        files.truncate(files.len() - free);
        Full { files, before }
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        self.files.clear();
        set_soft_limit(id(), libc::RLIMIT_NOFILE, self.before).unwrap();
    }
}

/// Programs that end with their standard input.
async fn running(count: usize) -> (Vec<Child>, io::PipeWriter) {
    let (read, write) = io::pipe().unwrap();
    let mut children = Vec::new();
    for _ in 0..count {
        let mut command = Command::new("cat");
        command.stdin(read.try_clone().unwrap());
        children.push(command.spawn().await.unwrap());
    }
    (children, write)
}

#[test]
fn hundreds_run_at_once() {
    let _alone = alone();
    let before = set_soft_limit(id(), libc::RLIMIT_NOFILE, 1024).unwrap();
    for runtime in [runtime(), runtime_of_two()] {
        let outputs = runtime.block_on(async {
            assert!(Command::new("true").status().await.unwrap().success());
            let start = |number: usize| {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("sleep 0.5; echo {number}")]);
                tokio::spawn(async move { command.output().await })
            };
            let all: Vec<_> = (0..300).map(start).collect();
            let mut outputs = Vec::new();
            for one in all {
                outputs.push(one.await.unwrap().unwrap());
            }
            outputs
        });
        for (number, output) in outputs.into_iter().enumerate() {
            assert!(output.status.success());
            assert_eq!(output.stdout, format!("{number}\n").into_bytes());
        }
    }
    set_soft_limit(id(), libc::RLIMIT_NOFILE, before).unwrap();
}

#[test]
fn a_task_waits_for_processes_that_are_waited_for() {
    let _alone = alone();
    let runtime = runtime();
    for of in ["program", "worker"] {
        runtime.block_on(async {
            // Ten of them hold more than a launch needs.
            let (children, write) = running(10).await;
            let mut worker = new().run("nothing").await.unwrap();
            assert!(worker.wait().await.unwrap().success());
            drop(worker);
            let full = Full::but_for(2);
            let waiting = async {
                for mut child in children {
                    assert!(child.wait().await.unwrap().success());
                }
            };
            let mut waiting = Box::pin(waiting);
            assert!(poll_once(waiting.as_mut()).is_pending());
            let launch = async {
                match of {
                    "program" => {
                        let output = Command::new("echo").arg("x").output().await.unwrap();
                        assert_eq!(output.stdout, b"x\n");
                    }
                    _ => {
                        let mut worker = new().run("nothing").await.unwrap();
                        assert!(worker.wait().await.unwrap().success());
                    }
                }
            };
            let mut launch = pin!(launch);
            for _ in 0..3 {
                assert!(poll_once(launch.as_mut()).is_pending());
            }
            drop(write);
            tokio::join!(waiting, launch);
            drop(full);
        });
    }
}

#[test]
fn a_thread_waits_for_them_too() {
    let _alone = alone();
    let runtime = runtime();
    runtime.block_on(async {
        let (children, write) = running(10).await;
        let full = Full::but_for(2);
        let mut waiting = Box::pin(async {
            for mut child in children {
                assert!(child.wait().await.unwrap().success());
            }
        });
        assert!(poll_once(waiting.as_mut()).is_pending());
        let launches = [Command::new("true").status(), Command::new("true").status()];
        let threads = launches
            .map(|launch| thread::spawn(|| bounded("a launch", || launch.blocking()).unwrap()));
        drop(write);
        waiting.await;
        drop(full);
        for thread in threads {
            assert!(thread.join().unwrap().success());
        }
    });
}

#[test]
fn a_time_limit_holds() {
    let _alone = alone();
    let runtime = runtime();
    runtime.block_on(async {
        let (mut children, write) = running(1).await;
        let full = Full::but_for(2);
        let mut waiting = Box::pin(children[0].wait());
        assert!(poll_once(waiting.as_mut()).is_pending());
        let limit = Duration::from_millis(20);
        let launch = Command::new("true").timeout(limit).status();
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        let error = Command::new("true")
            .timeout(limit)
            .status()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        drop((full, write));
        assert!(waiting.await.unwrap().success());
    });
}

#[test]
fn without_any_it_fails_at_once() {
    let _alone = alone();
    let runtime = runtime();
    runtime.block_on(async {
        // It runs, and nobody waits for it.
        let (children, write) = running(1).await;
        // Nobody waits for this launch.
        let unfinished = Command::new("true").status();
        let full = Full::but_for(2);
        let mut launch = Box::pin(Command::new("true").status().into_future());
        let std::task::Poll::Ready(Err(error)) = poll_once(launch.as_mut()) else {
            panic!("it waits");
        };
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
        let error = new().run("nothing").blocking().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
        drop((full, children, write));
        assert!(unfinished.await.unwrap().success());
    });
}
