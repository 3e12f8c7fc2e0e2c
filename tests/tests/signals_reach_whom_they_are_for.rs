//! What a terminal or a service manager sends to a program reaches `main` and the
//! workers, and no template; workers find no trace of what `main` has done about
//! signals; and `main` hears of no child.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyfork_tests::births::{program, succeed};
use anyfork_tests::bounded;
use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

const SIGNALS: &str = env!("CARGO_BIN_EXE_signals");

/// The program in a session of its own, in the foreground of a terminal of its
/// own.
struct Terminal {
    keyboard: PtyMaster,
    program: Child,
    stdout: BufReader<ChildStdout>,
}

impl Terminal {
    /// Starts it, and waits until it is ready.
    fn run(args: &[String]) -> Terminal {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let keyboard = posix_openpt(flags).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        // Not this test's terminal, though it may have none.
        let screen = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(ptsname_r(&keyboard).unwrap());
        let mut command = Command::new(SIGNALS);
        command
            .args(args)
            .stdin(screen.unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: calls what may be called between fork and exec.
        unsafe { command.pre_exec(take_terminal) };
        let mut program = command.spawn().unwrap();
        let mut stdout = BufReader::new(program.stdout.take().unwrap());
        let mut line = String::new();
        bounded("a line", || stdout.read_line(&mut line)).unwrap();
        let mut terminal = Terminal {
            keyboard,
            program,
            stdout,
        };
        if line != "ready\n" {
            terminal.must_succeed();
        }
        assert_eq!(line, "ready\n");
        terminal
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.program.id().cast_signed())
    }

    /// Waits until the program and all that have its stderr have ended.
    fn must_succeed(&mut self) {
        let mut text = String::new();
        let mut stderr = self.program.stderr.take().unwrap();
        bounded("the program's end", || {
            self.stdout.read_to_string(&mut text).unwrap();
            stderr.read_to_string(&mut text).unwrap();
        });
        let status = self.program.wait().unwrap();
        assert!(status.success(), "{status}\n{text}");
    }
}

/// Makes the standard input the terminal of a session of this process's.
fn take_terminal() -> io::Result<()> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: takes no argument.
    let mut done = unsafe { libc::setsid() } != -1;
    // SAFETY: takes a number.
    done &= unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } != -1;
    // What ends by SIGQUIT shall leave no file.
    // SAFETY: reads a local.
    done &= unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) } != -1;
    match done {
        true => Ok(()),
        false => Err(io::Error::last_os_error()),
    }
}

/// Has a signal come, which `send` causes.
fn in_a_group(signal: Signal, send: impl FnOnce(&mut Terminal)) {
    let number = signal as i32;
    let mut terminal = Terminal::run(&["group".to_owned(), number.to_string()]);
    send(&mut terminal);
    terminal.must_succeed();
}

#[test]
fn ctrl_c_reaches_main_and_workers_and_no_template() {
    in_a_group(Signal::SIGINT, |terminal| {
        terminal.keyboard.write_all(b"\x03").unwrap();
    });
}

#[test]
fn ctrl_backslash_does_so_too() {
    in_a_group(Signal::SIGQUIT, |terminal| {
        terminal.keyboard.write_all(b"\x1c").unwrap();
    });
}

#[test]
fn what_is_sent_to_the_group_does_so_too() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        in_a_group(signal, |terminal| {
            killpg(terminal.group(), signal).unwrap();
        });
    }
}

/// There is no moment in the making of a template at which Ctrl-C ends it.
#[test]
fn templates_that_are_just_being_made_stay() {
    let mut terminal = Terminal::run(&["storm".to_owned()]);
    while terminal.program.try_wait().unwrap().is_none() {
        // Else the program would come to nothing but its handler.
        thread::sleep(Duration::from_micros(200));
        // A process that was not waited for: the group is there, too.
        killpg(terminal.group(), Signal::SIGINT).unwrap();
    }
    terminal.must_succeed();
}

#[test]
fn workers_have_no_handlers_and_an_empty_mask() {
    // Each signal is handled, ignored and left alone in one of them.
    for turn in 0..3 {
        succeed(program(SIGNALS, "actions").arg(turn.to_string()));
    }
}

#[test]
fn all_exits_are_reported_to_a_program_that_ignores_sigchld() {
    succeed(program(SIGNALS, "children").arg("ignored"));
}

#[test]
fn all_exits_are_reported_to_a_program_that_handles_sigchld_and_has_none() {
    succeed(program(SIGNALS, "children").arg("handled"));
}

#[test]
fn all_exits_are_reported_to_a_program_that_reaps_all_children() {
    succeed(program(SIGNALS, "children").arg("reaped"));
}

/// `nohup`, `trap '' INT`, `cmd &`.
#[test]
fn what_was_ignored_at_the_start_is_ignored_by_all() {
    let mut command = program(SIGNALS, "deaf");
    command.process_group(0);
    // SAFETY: calls what may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for signal in [
                libc::SIGHUP,
                libc::SIGINT,
                libc::SIGTERM,
                libc::SIGRTMIN() + 1,
            ] {
                libc::signal(signal, libc::SIG_IGN);
            }
            Ok(())
        })
    };
    succeed(&mut command);
}
