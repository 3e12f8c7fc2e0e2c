//! A program has the descriptors that it was given, under the numbers that it
//! was given them, and no other; the arguments that were collected; what an init
//! function has made of environment and directory, and nothing of what it did to
//! signals.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use anyfork::{Command, Process, args, take_args};
use anyfork_tests::{Scene, alone, bounded, pipe_with};
use nix::sys::resource::{Resource, getrlimit};

#[anyfork::early]
fn preload() {}

const TELL: &str = env!("CARGO_BIN_EXE_tell");

/// What the program tells of itself.
fn reported(command: &mut Command) -> Vec<String> {
    let output = bounded("output", || command.output().blocking()).unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn with_word<'a>(reported: &'a [String], word: &str) -> Vec<&'a str> {
    let lines = reported.iter().filter_map(|line| line.strip_prefix(word));
    lines.map(str::trim).collect()
}

/// The numbers above 2 that are open.
fn open(reported: &[String]) -> Vec<i32> {
    let number = |line: &str| line.split(' ').next().unwrap().parse().unwrap();
    let numbers = with_word(reported, "descriptor ").into_iter().map(number);
    numbers.filter(|number| *number > 2).collect()
}

/// From each of the ways to start it.
fn each_way(test: impl Fn(Command)) {
    let _alone = alone();
    let scene = Scene::early();
    test(Command::new(TELL));
    test(Process::new().unwrap().exec(TELL));
    test(Process::new().unwrap().fork().fork().exec(TELL));
    scene.must_return();
    test(Process::new_exec().unwrap().exec(TELL));
    scene.must_return();
}

/// Gives the program a pipe for each number, with the number in it.
fn place(command: &mut Command, numbers: impl IntoIterator<Item = i32>) {
    for number in numbers {
        let pipe = pipe_with(&format!("for {number}"));
        command.fd(number, pipe).arg(format!("--read={number}"));
    }
}

#[track_caller]
fn assert_placed(command: &mut Command, mut numbers: Vec<i32>) {
    let reported = reported(command);
    let lines = with_word(&reported, "read ");
    let expected: Vec<_> = numbers
        .iter()
        .map(|number| format!("{number} true for {number}"))
        .collect();
    assert_eq!(lines, expected);
    numbers.sort_unstable();
    assert_eq!(open(&reported), numbers);
}

#[test]
fn nothing_that_was_not_given() {
    each_way(|mut command| {
        let _others = File::open("/dev/null").unwrap();
        assert_placed(&mut command, vec![]);
    });
}

#[test]
fn one_descriptor() {
    each_way(|mut command| {
        place(&mut command, [5]);
        assert_placed(&mut command, vec![5]);
    });
}

#[test]
fn numbers_that_the_library_uses_itself() {
    each_way(|mut command| {
        let numbers: Vec<_> = (3..=64).collect();
        place(&mut command, numbers.clone());
        assert_placed(&mut command, numbers);
    });
}

#[test]
fn numbers_in_any_order_and_far_apart() {
    each_way(|mut command| {
        let numbers: Vec<_> = (0..40).map(|n| 3 + n * 77 % 197).collect();
        place(&mut command, numbers.clone());
        assert_placed(&mut command, numbers);
    });
}

#[test]
fn the_last_numbers_that_are_allowed() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    each_way(|mut command| {
        command.rlimit(libc::RLIMIT_NOFILE, 512, hard);
        let numbers = vec![511, 3, 510, 509];
        place(&mut command, numbers.clone());
        assert_placed(&mut command, numbers);
    });
}

#[test]
fn descriptors_that_exchange_their_numbers() {
    each_way(|mut command| {
        let mut pipes: Vec<_> = (0..8).map(|_| pipe_with("")).collect();
        let numbers: Vec<_> = pipes.iter().map(|pipe| pipe.as_raw_fd()).collect();
        for (pipe, number) in pipes.iter_mut().zip(numbers.iter().rev()) {
            *pipe = pipe_with(&format!("for {number}"));
        }
        for (pipe, number) in pipes.into_iter().zip(numbers.iter().rev()) {
            command.fd(*number, pipe).arg(format!("--read={number}"));
        }
        assert_placed(&mut command, numbers.into_iter().rev().collect());
    });
}

#[test]
fn one_descriptor_under_two_numbers() {
    each_way(|mut command| {
        let pipe = pipe_with("");
        command.fd(9, pipe.try_clone().unwrap()).fd(4, pipe);
        let reported = reported(&mut command);
        assert_eq!(open(&reported), [4, 9]);
        let lines = with_word(&reported, "descriptor 9 ");
        assert!(lines[0].starts_with("is a pipe, as 4,"), "{lines:?}");
    });
}

#[test]
fn two_descriptors_for_one_number() {
    each_way(|mut command| {
        command.fd(6, pipe_with("first"));
        place(&mut command, [6]);
        assert_placed(&mut command, vec![6]);
    });
}

#[test]
fn a_descriptor_for_a_standard_stream() {
    each_way(|mut command| {
        let (mut read, write) = io::pipe().unwrap();
        command.arg("--brief").arg("--err=x").fd(2, write);
        let reported = reported(&mut command);
        drop(command);
        assert_eq!(open(&reported), [0; 0]);
        assert_eq!(io::read_to_string(&mut read).unwrap(), "x");
    });
}

#[test]
fn descriptors_are_there_each_time() {
    each_way(|mut command| {
        let file = File::open("/proc/self/stat").unwrap();
        command.fd(8, file);
        for _ in 0..3 {
            assert_eq!(open(&reported(&mut command)), [8]);
        }
    });
}

/// Of a template that has kept what the program was started with, as its workers
/// have.
#[test]
fn nothing_that_a_template_has_kept() {
    let _alone = alone();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keeps"));
    command.arg(TELL).fd(9, pipe_with("text"));
    let reported = reported(&mut command);
    assert_eq!(reported[0], "kept", "{reported:?}");
    assert_eq!(open(&reported), [0; 0]);
}

#[test]
fn what_a_process_has_collected() {
    let _alone = alone();
    let scene = Scene::early();
    for process in [Process::new().unwrap(), Process::new_exec().unwrap()] {
        let process = process.send_arg("one").send_fd(pipe_with("for 3"));
        let process = process.fork().send_arg("").send_arg(b"\xff".as_slice());
        let process = process.send_fd(pipe_with("for 4"));
        let mut command = process.exec(TELL);
        command.args(["--read=3", "--read=4", "--read=5"]);
        command.fd(5, pipe_with("for 5"));
        let reported = reported(&mut command);
        let expected = ["one", "", "\\xff", "--read=3", "--read=4", "--read=5"];
        let arguments = with_word(&reported, "argument ");
        let expected = (1..).zip(expected).map(|(n, arg)| format!("{n} {arg}"));
        let expected: Vec<_> = expected.map(|line| line.trim().to_owned()).collect();
        assert_eq!(arguments[1..], expected);
        let read = with_word(&reported, "read ");
        assert_eq!(read, ["3 true for 3", "4 true for 4", "5 true for 5"]);
        assert_eq!(open(&reported), [3, 4, 5]);
    }
    scene.must_return();
}

/// Does all that a program must not notice, and some that it must.
#[anyfork::init]
fn prepare(directory: String, value: String, kept: OwnedFd) {
    for signal in [libc::SIGINT, libc::SIGPIPE, libc::SIGUSR1, libc::SIGRTMAX()] {
        // SAFETY: the action runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // SAFETY: it is never called.
    unsafe { libc::signal(libc::SIGTERM, never as *const () as libc::sighandler_t) };
    nix::sys::signal::SigSet::all()
        .thread_block()
        .expect("a mask");
    std::env::set_current_dir(directory).expect("a directory");
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("FROM_INIT", value) };
    // Left open, and not closed by exec.
    for fd in [kept, File::open("/dev/null").expect("a file").into()] {
        // SAFETY: sets a flag of a descriptor that is ours.
        assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }, 0);
        let _ = fd.into_raw_fd();
    }
    print!("init was here, ");
}

extern "C" fn never(_: i32) {}

#[test]
fn what_an_init_has_made() {
    each_way(|mut command| {
        command.env("OF_COMMAND", "set").arg("last");
        let args = args!["/", "its value", pipe_with("")];
        place(command.init(prepare::NAME, args), [4]);
        let reported = reported(&mut command);
        assert_eq!(reported[0], format!("init was here, argument 0 {TELL}"));
        assert_eq!(with_word(&reported, "directory "), ["/"]);
        let variables = with_word(&reported, "variable ");
        assert!(variables.contains(&"FROM_INIT=its value"), "{variables:?}");
        assert!(variables.contains(&"OF_COMMAND=set"), "{variables:?}");
        assert_eq!(open(&reported), [4]);
        // What the init has ignored or blocked stays, as with std's `pre_exec`. SIGPIPE
        // is as a program expects it, and exec has no use for a handler.
        let ignored = [libc::SIGINT, libc::SIGUSR1, libc::SIGRTMAX()];
        let set = |signals: &[i32]| signals.iter().fold(0, |set, it| set | 1u64 << (it - 1));
        assert_eq!(signals(&reported, "SigIgn "), set(&ignored));
        let unblockable = set(&[libc::SIGKILL, libc::SIGSTOP]);
        assert_eq!(signals(&reported, "SigBlk "), !(unblockable | 3 << 31));
        assert_eq!(signals(&reported, "SigCgt "), 0);
    });
}

#[track_caller]
fn assert_default_signals(reported: &[String]) {
    for field in ["SigBlk ", "SigIgn ", "SigCgt "] {
        assert_eq!(signals(reported, field), 0, "{field}");
    }
}

/// A set of signals, without the two that belong to the C library, which nobody can
/// set.
fn signals(reported: &[String], field: &str) -> u64 {
    let lines = with_word(reported, field);
    u64::from_str_radix(lines[0], 16).unwrap() & !(3 << 31)
}

#[test]
fn default_signals() {
    each_way(|mut command| assert_default_signals(&reported(&mut command)));
    // In a pipeline, as in a shell: its reader goes early.
    let _alone = alone();
    let exit = Command::new("sh")
        .args(["-c", "kill -s PIPE $$"])
        .status()
        .blocking();
    assert_eq!(exit.unwrap().signal(), Some(libc::SIGPIPE));
}

/// Takes what was collected, and leaves other arguments in its place.
#[anyfork::init]
fn count() {
    let count = take_args().count();
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("COUNTED", count.to_string()) };
}

#[anyfork::init]
fn append(text: String) {
    let before = std::env::var("TEXT").unwrap_or_default();
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("TEXT", before + &text) };
}

#[test]
fn inits_run_in_their_order_with_their_arguments() {
    let _alone = alone();
    let process = Process::new().unwrap().send_arg("x").send_fd(pipe_with(""));
    let process = process.init(append::NAME, args!["b"]);
    let mut command = process.exec(TELL);
    command.init(append::NAME, args!["c"]).env("TEXT", "a");
    command.init(count::NAME, ()).init(append::NAME, args!["d"]);
    // Each time anew.
    for _ in 0..2 {
        let reported = reported(&mut command);
        let variables = with_word(&reported, "variable ");
        assert!(variables.contains(&"TEXT=abcd"), "{variables:?}");
        assert!(variables.contains(&"COUNTED=2"), "{variables:?}");
        assert_eq!(with_word(&reported, "argument ").len(), 1);
        assert_eq!(open(&reported), [0; 0]);
    }
}

#[test]
fn settings() {
    each_way(|mut command| {
        let before = reported(&mut command);
        let nice = |reported: &[String]| with_word(reported, "nice ")[0].parse::<i32>().unwrap();
        command.nice(3).process_group(0);
        command.rlimit(libc::RLIMIT_CORE, 0, 0);
        let after = reported(&mut command);
        assert_eq!(nice(&after), (nice(&before) + 3).min(19));
        assert_eq!(with_word(&after, "group "), ["its own"]);
        let limits = with_word(&after, "Max core file size ");
        let fields: Vec<_> = limits[0].split_whitespace().collect();
        assert_eq!(fields[..2], ["0", "0"]);
    });
}
