//! The prefork server replaces workers that die, finishes the requests that it has begun,
//! and leaves no process behind, however it ends.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// So long a test waits for what must happen before it fails.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_killed_worker_is_replaced_and_ctrl_c_ends_all() {
    let mut server = Server::start("replaced", 4);
    let workers = server.workers();
    let numbers: Vec<_> = workers.keys().copied().collect();
    assert_eq!(numbers, [1, 2, 3, 4]);

    let victim = workers[&2];
    kill(victim, Signal::SIGKILL).expect("kill a worker");
    until("the killed worker is gone", || !server.is_running(victim));
    // Whoever answers, nobody notices: the listener and its queue are shared.
    for _ in 0..20 {
        assert_ne!(server.get().1, victim);
    }

    let now = server.workers();
    assert_ne!(now[&2], victim);
    for number in [1, 3, 4] {
        assert_eq!(now[&number], workers[&number]);
    }

    // A connection that is kept alive for further requests holds nobody up.
    let agent = ureq::agent();
    ask(&agent, &server.url).expect("an answer");
    server.signal(Signal::SIGINT);
    assert!(server.wait().success());
    server.until_all_are_gone();
    let said = format!("worker 2 (process {victim}) has ended: signal: 9 (SIGKILL)\n");
    assert_eq!(server.stderr(), said);
}

#[test]
fn ctrl_c_on_a_terminal_is_no_crash_of_the_workers() {
    let mut server = Server::start("terminal", 2);
    let workers = server.workers();
    // A terminal sends it to the whole process group, in no known order. The
    // workers have it first here, and still answer.
    for worker in workers.values() {
        kill(*worker, Signal::SIGINT).expect("interrupt a worker");
    }
    assert_eq!(server.workers(), workers);

    server.signal(Signal::SIGINT);
    assert!(server.wait().success());
    server.until_all_are_gone();
    assert_eq!(server.stderr(), "");
}

#[test]
fn a_request_in_progress_is_finished() {
    let mut server = Server::start("finished", 2);
    let workers = server.workers();

    let mut request = TcpStream::connect(server.address()).expect("connect");
    request
        .set_read_timeout(Some(DEADLINE))
        .expect("set a timeout");
    let head =
        "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    request.write_all(head.as_bytes()).expect("send the head");
    let mut answer = BufReader::new(request);
    // It is said when the worker has read the head and waits for the body.
    assert_eq!(line(&mut answer), "HTTP/1.1 100 Continue\r\n");
    assert_eq!(line(&mut answer), "\r\n");

    server.signal(Signal::SIGTERM);
    until("the idle worker has ended", || {
        let running = workers.values().filter(|pid| server.is_running(**pid));
        running.count() == 1
    });
    let ended = server.main.try_wait().expect("look at the server");
    assert_eq!(ended, None, "the server waits for the other");
    answer.get_ref().write_all(b"hello").expect("send the body");
    let mut text = String::new();
    answer.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("\r\n\r\nworker "), "{text}");

    assert!(server.wait().success());
    server.until_all_are_gone();
    assert_eq!(server.stderr(), "");
}

#[test]
fn nobody_outlives_a_killed_server() {
    let mut server = Server::start("outlives", 4);
    assert_eq!(server.workers().len(), 4);
    server.signal(Signal::SIGKILL);
    assert!(!server.wait().success());
    server.until_all_are_gone();
}

/// The example at work. Dropped, it takes all of its processes with it.
struct Server {
    main: Child,
    /// Open to the end, so that the server may print.
    _stdout: BufReader<ChildStdout>,
    url: String,
    /// A link to the example that only this server's processes run.
    program: PathBuf,
    workers: usize,
}

impl Server {
    fn start(test: &str, workers: usize) -> Server {
        let name = format!("prefork_server-{test}-{}", std::process::id());
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::hard_link(support::example("prefork_server"), &program).expect("link the example");
        let mut main = Command::new(&program)
            .args(["--port", "0", "--workers", &workers.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the server");
        let mut stdout = BufReader::new(main.stdout.take().expect("it is piped"));
        let greeting = line(&mut stdout);
        let url = greeting.trim_end().strip_prefix("listening on ");
        Server {
            url: url.expect(&greeting).to_owned(),
            main,
            _stdout: stdout,
            program,
            workers,
        }
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect(&self.url)
    }

    /// The number and the process of a worker that answers.
    fn get(&self) -> (u32, Pid) {
        ask(&agent(), &self.url).expect("every request is answered")
    }

    /// All workers, by their numbers. Each that has answered is stopped, so
    /// that the next answer is another's.
    fn workers(&self) -> BTreeMap<u32, Pid> {
        let mut workers = BTreeMap::new();
        while workers.len() < self.workers {
            let (number, pid) = self.get();
            kill(pid, Signal::SIGSTOP).expect("stop a worker");
            until("a stopped worker rests", || state(pid) == Some('T'));
            assert_eq!(workers.insert(number, pid), None);
        }
        for pid in workers.values() {
            kill(*pid, Signal::SIGCONT).expect("continue a worker");
        }
        workers
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.main.id() as i32), signal).expect("signal the server");
    }

    /// Waits for the main process.
    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the server has ended", || {
            status = self.main.try_wait().expect("wait for the server");
            status.is_some()
        });
        status.expect("it was waited for")
    }

    /// What it has written to stderr, once all processes that could are gone.
    fn stderr(&mut self) -> String {
        let mut text = String::new();
        let stderr = self.main.stderr.as_mut().expect("it is piped");
        stderr.read_to_string(&mut text).expect("text");
        text
    }

    /// All processes that run the program; zombies do not.
    fn running(&self) -> Vec<Pid> {
        let processes = fs::read_dir("/proc").expect("/proc is mounted");
        processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .map(Pid::from_raw)
            .filter(|pid| self.is_running(*pid))
            .collect()
    }

    fn is_running(&self, pid: Pid) -> bool {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.program)
    }

    fn until_all_are_gone(&self) {
        until("no process of the server is left", || {
            self.running().is_empty()
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for pid in self.running() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = self.main.wait();
        let _ = fs::remove_file(&self.program);
    }
}

/// A client that makes a connection of its own for every request.
fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .max_idle_connections(0)
        .timeout_global(Some(DEADLINE));
    config.build().into()
}

/// Who answers: `worker 2, process 4711`.
fn ask(agent: &ureq::Agent, url: &str) -> Result<(u32, Pid), ureq::Error> {
    let text = agent.get(url).call()?.body_mut().read_to_string()?;
    let parts = text.trim_end().strip_prefix("worker ");
    let parts = parts.and_then(|text| text.split_once(", process "));
    let (number, pid) = parts.expect(&text);
    let (number, pid) = (number.parse(), pid.parse().map(Pid::from_raw));
    Ok((number.expect(&text), pid.expect(&text)))
}

/// The state of a process, as `ps` shows it.
fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("a line");
    line
}

/// Looks until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
