//! The status tells the client what happened to the work of its request, and no other
//! request is affected.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The example at work, killed at the end of its test.
struct Server {
    main: Child,
    /// Open to the end, so that the server may print.
    _stdout: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    fn start(options: &[&str]) -> Server {
        let mut main = Command::new(support::example("crash_proof_server"))
            .args(["--port", "0"])
            .args(options)
            // To print one in a program with debug information takes longer than the limit.
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the server");
        let mut stdout = BufReader::new(main.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let url = line.trim_end().strip_prefix("listening on ");
        Server {
            url: url.expect(&line).to_owned(),
            main,
            _stdout: stdout,
        }
    }

    /// The status and the text for an expression.
    fn evaluate(&self, expression: &str) -> (u16, String) {
        self.try_evaluate(expression).expect("an answer")
    }

    fn try_evaluate(&self, expression: &str) -> Result<(u16, String), ureq::Error> {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let mut answer = agent.post(&self.url).send(expression)?;
        let text = answer.body_mut().read_to_string()?;
        Ok((answer.status().as_u16(), text))
    }

    fn kill(&self) {
        let pid = Pid::from_raw(self.main.id().cast_signed());
        kill(pid, Signal::SIGKILL).expect("kill the server");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.main.kill();
        let _ = self.main.wait();
    }
}

#[test]
fn the_status_tells_what_has_happened() {
    let server = Server::start(&["--limit", "3000"]);
    assert_eq!(server.evaluate("2 3 + 4 *"), (200, "20\n".to_owned()));
    let (status, text) = server.evaluate("2 +");
    assert_eq!((status, &*text), (400, "too few values for `+`\n"));
    let (status, text) = server.evaluate("0 1/x");
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("attempt to divide by zero"), "{text}");
    let (status, text) = server.evaluate("abort");
    assert_eq!(status, 502, "{text}");
    assert!(text.contains("SIGABRT"), "{text}");
    let (status, text) = server.evaluate("spin");
    assert_eq!(status, 504, "{text}");
    assert_eq!(server.evaluate("7"), (200, "7\n".to_owned()));
}

#[test]
fn a_full_queue_is_told_at_once() {
    let server = Server::start(&["--limit", "60000", "--workers", "1", "--queue", "1"]);
    thread::scope(|threads| {
        // One is at work, one waits, and whichever comes third is refused. The others are
        // answered when the server has been killed.
        let (refused, answer) = std::sync::mpsc::channel();
        for _ in 0..3 {
            let refused = refused.clone();
            let server = &server;
            threads.spawn(move || {
                if let Ok(answer) = server.try_evaluate("spin") {
                    let _ = refused.send(answer);
                }
            });
        }
        let (status, text) = answer.recv().expect("an answer");
        assert_eq!(status, 503, "{text}");
        server.kill();
    });
}

#[test]
fn a_crash_a_second_costs_nobody_else_anything() {
    const CRASHES: usize = 5;
    let server = Server::start(&["--limit", "60000"]);
    let is_over = AtomicBool::new(false);
    let answers = AtomicUsize::new(0);
    thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(server.evaluate("20 22 +"), (200, "42\n".to_owned()));
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..CRASHES {
            assert_eq!(server.evaluate("abort").0, 502);
            // So often it happens, not an order that is waited for.
            thread::sleep(std::time::Duration::from_secs(1));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(answers.into_inner() > 8 * CRASHES);
}
