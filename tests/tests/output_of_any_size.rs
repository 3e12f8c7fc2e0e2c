//! The output of a program is collected whatever its size, from both streams at
//! the same time: neither side waits for the other for ever.

use std::io::{Read, Write};
use std::process::Output;
use std::thread;

use anyfork::{Command, Stdio};
use anyfork_tests::{Scene, alone, bounded, runtime_of_two};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[anyfork::early]
fn preload() {}

/// 100 MiB.
const SIZE: usize = 100 << 20;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("size={SIZE}; {script}")]);
    command
}

/// The output of a script, which is the same in each of the ways to collect it.
fn outputs(script: &str, test: impl Fn(Output)) {
    let _alone = alone();
    let scene = Scene::early();
    let mut command = shell(script);
    let launch = command.output();
    test(bounded("output", || launch.blocking()).unwrap());

    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.stdin(Stdio::piped()).spawn().blocking().unwrap();
    test(bounded("wait", || child.wait_with_output()).unwrap());

    let runtime = runtime_of_two();
    let launch = command.output();
    let output = bounded("await", || runtime.block_on(async { launch.await }));
    test(output.unwrap());

    let launch = command.spawn();
    let output = async { launch.await?.wait_with_output().await };
    test(bounded("await", || runtime.block_on(output)).unwrap());
    drop(runtime);
    scene.must_return();
}

#[track_caller]
fn assert_sizes(output: &Output, stdout: usize, stderr: usize) {
    let sizes = (output.stdout.len(), output.stderr.len());
    assert_eq!(sizes, (stdout, stderr));
}

#[test]
fn nothing() {
    outputs(":", |output| {
        assert!(output.status.success());
        assert_sizes(&output, 0, 0);
    });
}

#[test]
fn both_at_the_same_time() {
    let script = "head -c $size /dev/zero & head -c $size /dev/zero >&2; wait; exit 3";
    outputs(script, |output| {
        assert_eq!(output.status.code(), Some(3));
        assert_sizes(&output, SIZE, SIZE);
    });
}

#[test]
fn one_after_the_other() {
    let script = "head -c $size /dev/zero >&2; head -c $size /dev/zero; echo end >&2";
    outputs(script, |output| {
        assert_sizes(&output, SIZE, SIZE + 4);
        assert!(output.stderr.ends_with(b"\0end\n"));
    });
}

#[test]
fn one_is_closed_early() {
    let script = "exec 2>&-; head -c $size /dev/zero; exec >&-; exit 4";
    outputs(script, |output| {
        assert_eq!(output.status.code(), Some(4));
        assert_sizes(&output, SIZE, 0);
    });
    outputs("exec >&-; head -c $size /dev/zero >&2", |output| {
        assert_sizes(&output, 0, SIZE);
    });
}

#[test]
fn only_one_is_piped() {
    let _alone = alone();
    for (stdout, stderr) in [(true, false), (false, true)] {
        let stream = |piped| match piped {
            true => Stdio::piped(),
            false => Stdio::null(),
        };
        let mut command = shell("head -c $size /dev/zero; head -c $size /dev/zero >&2");
        command.stdout(stream(stdout)).stderr(stream(stderr));
        let child = command.spawn().blocking().unwrap();
        let output = bounded("wait", || child.wait_with_output()).unwrap();
        let size = |piped| if piped { SIZE } else { 0 };
        assert_sizes(&output, size(stdout), size(stderr));
    }
}

/// What goes in, with every byte at its place.
fn pattern() -> Vec<u8> {
    let bytes = (0..SIZE as u32 / 4).flat_map(u32::to_le_bytes);
    bytes.collect()
}

#[test]
fn what_is_written_comes_back() {
    let _alone = alone();
    let scene = Scene::early();
    let pattern = pattern();
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().blocking().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            stdin.write_all(&pattern).unwrap();
            drop(stdin);
        });
        bounded("wait", || child.wait_with_output()).unwrap()
    });
    assert!(output.status.success());
    assert!(output.stdout == pattern);
    scene.must_return();
}

#[test]
fn what_is_written_comes_back_in_a_runtime() {
    let _alone = alone();
    let scene = Scene::early();
    let pattern = pattern();
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let runtime = runtime_of_two();
    bounded("the runtime", || {
        runtime.block_on(async {
            let mut child = command.spawn().await.unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let given = pattern.clone();
            let writer = tokio::spawn(async move {
                stdin.write_all(&given).await.unwrap();
            });
            let output = child.wait_with_output().await.unwrap();
            writer.await.unwrap();
            assert!(output.status.success());
            assert!(output.stdout == pattern);

            // In parts, with the streams in hand.
            let mut child = command.spawn().await.unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let mut stdout = child.stdout.take().unwrap();
            for n in 0..100_u8 {
                stdin.write_all(&[n]).await.unwrap();
                assert_eq!(stdout.read_u8().await.unwrap(), n);
            }
            drop(stdin);
            assert_eq!(stdout.read(&mut [0]).await.unwrap(), 0);
            assert!(child.wait().await.unwrap().success());
        });
    });
    drop(runtime);
    scene.must_return();
}

/// A reader that goes early ends the program, as in a pipeline.
#[test]
fn what_nobody_reads() {
    let _alone = alone();
    let scene = Scene::early();
    let mut command = Command::new("cat");
    command.arg("/dev/zero").stdout(Stdio::piped());
    let mut child = command.spawn().blocking().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut vec![1; SIZE]).unwrap();
    drop(stdout);
    let exit = bounded("wait", || child.wait()).unwrap();
    assert_eq!(exit.signal(), Some(libc::SIGPIPE));
    drop(child);
    scene.must_return();
}
