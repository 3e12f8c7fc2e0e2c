//! Arguments and descriptors reach a worker in the order of the calls, those
//! given before a fork first; what is given later changes nothing that is there
//! already. One template may be forked from many threads at once.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use anyfork::{Arg, Args, Process};
use anyfork_tests::{Scene, alone, children, held, new, pipe_with, release, text_of};

#[anyfork::early]
fn preload() {}

/// Tells its arguments: bytes as they are, descriptors by what they hold, in
/// brackets.
#[anyfork::worker]
fn tell(mut socket: UnixStream, args: Args) -> io::Result<()> {
    for arg in args {
        match arg {
            Arg::Bytes(bytes) => socket.write_all(&bytes)?,
            Arg::Fd(fd) => {
                let mut text = String::new();
                std::fs::File::from(fd).read_to_string(&mut text)?;
                write!(socket, "[{text}]")?;
            }
        }
    }
    Ok(())
}

fn reported(process: Process) -> String {
    text_of(process.run("tell"))
}

#[test]
fn calls_of_every_kind_mix() {
    let _alone = alone();
    let process = new()
        .send_arg("a")
        .send_fd(pipe_with("1"))
        .send_args(["b", "c"])
        .send_fds([pipe_with("2"), pipe_with("3")])
        .send_arg(pipe_with("4"))
        .send_args(anyfork::args!["d", pipe_with("5"), 'e'])
        .send_arg("f");
    assert_eq!(reported(process), "a[1]bc[2][3][4]d[5]ef");
}

#[test]
fn what_came_before_a_fork_comes_first() {
    let _alone = alone();
    let template = new().send_fd(pipe_with("1")).send_arg("a");
    let child = template.fork().send_arg("b").send_fd(pipe_with("2"));
    assert_eq!(reported(child), "[1]ab[2]");
    // Whether it is forked from or not, it is the same for those that follow.
    assert_eq!(reported(template.fork().send_arg("c")), "[]ac");
    assert_eq!(reported(template), "[]a");
}

#[test]
fn later_calls_change_no_fork_and_no_worker() {
    let _alone = alone();
    let template = new().send_arg("a");
    let before = template.fork().send_arg("1");
    let mut running = template
        .fork()
        .send_arg("2")
        .run("wait_and_tell")
        .blocking()
        .unwrap();
    let launch = template.fork().send_arg("3").run("tell");

    let template = template.send_arg("b").send_fd(pipe_with("x"));
    let after = template.fork();
    let template = template.send_arg("c");

    assert_eq!(reported(before), "a1");
    assert_eq!(reported(after.send_arg("4")), "ab[x]4");
    assert_eq!(reported(template.fork()), "ab[]c");
    running.socket.write_all(b"\n").unwrap();
    let mut text = String::new();
    running.socket.read_to_string(&mut text).unwrap();
    assert_eq!(text, "a2");
    text.clear();
    launch
        .blocking()
        .unwrap()
        .socket
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "a3");
    assert_eq!(reported(template), "ab[]c");
}

/// As [`tell`], once a byte has come.
#[anyfork::worker]
fn wait_and_tell(mut socket: UnixStream, args: Args) -> io::Result<()> {
    socket.read_exact(&mut [0])?;
    tell(socket, args)
}

#[test]
fn forks_nest_five_deep() {
    let _alone = alone();
    let scene = Scene::early();
    let mut levels = vec![new()];
    let mut expected = vec![String::new()];
    for level in 1..=5 {
        let parent = levels.last().unwrap();
        let pipe = pipe_with(&level.to_string());
        levels.push(parent.fork().send_arg(format!("a{level}")).send_fd(pipe));
        expected.push(format!("{}a{level}[{level}]", expected.last().unwrap()));
    }
    // The deepest first, since a pipe gives its text but once.
    let deepest = levels.last().unwrap();
    assert_eq!(
        reported(deepest.fork().send_arg("!")),
        expected[5].clone() + "!"
    );
    for (level, process) in levels.iter().enumerate() {
        let names: String = (1..=level).map(|level| format!("a{level}[]")).collect();
        assert_eq!(reported(process.fork()), names);
    }

    // Each level is a child of the one above.
    let pids: Vec<_> = levels
        .iter()
        .map(|process| process.pid().unwrap())
        .collect();
    assert_eq!(scene.workers(), pids[..1]);
    for pair in pids.windows(2) {
        assert!(children(pair[0]).contains_key(&pair[1]), "{pids:?}");
    }

    // A level that is dropped takes nothing from those below.
    let deepest = levels.pop().unwrap();
    drop(levels);
    assert_eq!(reported(deepest.fork()), "a1[]a2[]a3[]a4[]a5[]");
    let last = held(deepest);
    release(last);
    scene.must_return();
}

/// A process whose ancestors are forgotten before they even exist.
#[test]
fn a_chain_of_forks_needs_no_owner_but_the_last() {
    let _alone = alone();
    let scene = Scene::early();
    for _ in 0..30 {
        let mut process = new();
        for level in 0..5 {
            process = process.send_arg(level).fork();
        }
        assert_eq!(reported(process), "01234");
    }
    scene.must_return();
}

#[test]
fn eight_threads_fork_one_template_at_once() {
    let _alone = alone();
    const THREADS: usize = 8;
    const WORKERS: usize = 50;
    let scene = Scene::early();
    let owned = new().send_arg("t").send_fd(pipe_with(""));
    let template = &owned;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for worker in 0..WORKERS {
                    let name = format!("{thread}/{worker}");
                    let process = template.fork().send_arg(&name).send_fd(pipe_with(&name));
                    assert_eq!(reported(process), format!("t[]{name}[{name}]"));
                }
            });
        }
    });
    // All of them from one and the same process.
    assert_eq!(scene.workers(), [owned.pid().unwrap()]);
    drop(owned);
    scene.must_return();
}

/// More requests than a template's queue takes: the rest waits in the callers.
#[test]
fn launches_that_are_under_way_at_once_are_not_mixed_up() {
    let _alone = alone();
    let template = new().send_arg("t");
    let launches: Vec<_> = (0..300)
        .map(|n| {
            (
                n,
                template
                    .fork()
                    .send_arg(vec![b'x'; 4_000])
                    .send_arg(n)
                    .run("tell"),
            )
        })
        .collect();
    for (n, launch) in launches.into_iter().rev() {
        let mut worker = launch.blocking().unwrap();
        let mut text = String::new();
        worker.socket.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("t{}{n}", "x".repeat(4_000)));
    }
}
