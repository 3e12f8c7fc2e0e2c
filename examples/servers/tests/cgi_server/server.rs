//! The server under test, and its processes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::agent;
use super::support;

/// So long a test waits for what must happen before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Where the scripts find their interpreters.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The example at work, with scripts in a folder of its own. Dropped, it takes
/// all of its processes with it.
pub(crate) struct Server {
    main: Child,
    /// Open to the end, so that the server may print.
    _stdout: BufReader<ChildStdout>,
    pub(crate) url: String,
    /// A link to the example that only this server's processes run.
    program: PathBuf,
    /// Where all of its scripts run.
    pub(crate) scripts: PathBuf,
}

impl Server {
    /// `scripts` are names and texts, beside the two of the example. A text that
    /// is no word of its own is for the shell.
    pub(crate) fn start(test: &str, scripts: &[(&str, &str)], limit: u32) -> Server {
        let _guard = one_at_a_time();
        let name = format!("cgi_server-{test}-{}", std::process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let (program, dir) = (folder.join("cgi_server"), folder.join("cgi-bin"));
        fs::create_dir_all(&dir).expect("make a folder");
        fs::hard_link(support::example("cgi_server"), &program).expect("link the example");
        for name in ["hello.sh", "echo.py"] {
            let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cgi-bin");
            fs::copy(committed.join(name), dir.join(name)).expect("copy a script");
        }
        for (name, text) in scripts {
            let text = match text.ends_with('\n') {
                true => text.to_string(),
                false => format!("#!/bin/sh\n{text}\n"),
            };
            let path = dir.join(name);
            fs::write(&path, text).expect("write a script");
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("make it run");
        }

        let mut main = Command::new(&program)
            .args(["--port", "0", "--limit", &limit.to_string()])
            .args([OsStr::new("--dir"), dir.as_os_str()])
            .env("PATH", PATH)
            .env("SECRET", "of the server")
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("stderr")).expect("make a file"))
            .spawn()
            .expect("start the server");
        let mut stdout = BufReader::new(main.stdout.take().expect("it is piped"));
        let mut greeting = String::new();
        stdout.read_line(&mut greeting).expect("a greeting");
        let url = greeting.trim_end().strip_prefix("listening on ");
        Server {
            url: url.expect(&greeting).to_owned(),
            main,
            _stdout: stdout,
            program,
            scripts: dir,
        }
    }

    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect(&self.url)
    }

    pub(crate) fn get(&self, path: &str) -> (u16, ureq::http::HeaderMap, String) {
        let answer = agent().get(format!("{}/{path}", self.url)).call();
        let mut answer = answer.expect("an answer");
        let page = answer.body_mut().read_to_string().expect("a page");
        (answer.status().as_u16(), answer.headers().clone(), page)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.main.id() as i32), signal).expect("signal the server");
    }

    /// Ctrl-C, after which nothing is left.
    pub(crate) fn end(&mut self) {
        self.signal(Signal::SIGINT);
        assert!(self.wait().success());
        self.until_all_are_gone();
    }

    /// Waits for the main process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the server has ended", || {
            status = self.main.try_wait().expect("wait for the server");
            status.is_some()
        });
        status.expect("it was waited for")
    }

    /// What it and its scripts have written to stderr.
    pub(crate) fn stderr(&self) -> String {
        let file = self.program.with_file_name("stderr");
        fs::read_to_string(file).expect("text")
    }

    /// The server and its templates.
    fn own(&self) -> Vec<Pid> {
        processes(|pid| leads_to(pid, "exe", &self.program))
    }

    /// The scripts, and what they have started. Zombies have no directory.
    pub(crate) fn running_scripts(&self) -> Vec<Pid> {
        processes(|pid| leads_to(pid, "cwd", &self.scripts) && !leads_to(pid, "exe", &self.program))
    }

    /// Neither scripts nor zombies of scripts are left.
    pub(crate) fn until_idle(&self) {
        until("all scripts have ended", || {
            self.running_scripts().is_empty()
        });
        until("the server has no children but its templates", || {
            let own = self.own();
            let children = processes(|pid| parent(pid).is_some_and(|it| own.contains(&it)));
            children.iter().all(|pid| own.contains(pid))
        });
    }

    pub(crate) fn until_all_are_gone(&self) {
        until("no process of the server is left", || {
            self.own().is_empty() && self.running_scripts().is_empty()
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for pid in [self.own(), self.running_scripts()].concat() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = self.main.wait();
        let _ = fs::remove_dir_all(self.program.parent().expect("a folder"));
    }
}

/// Whether there is a Python for scripts; says so if there is not.
pub(crate) fn has_python() -> bool {
    let _guard = one_at_a_time();
    let python = Command::new("python3")
        .args(["-c", ""])
        .env("PATH", PATH)
        .status();
    let found = python.is_ok_and(|status| status.success());
    if !found {
        eprintln!("without echo.py: there is no python3 in {PATH}");
    }
    found
}

/// Held to write scripts, and to start processes: a file cannot be executed while
/// a process that another test has just forked holds it open for writing.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn processes(wanted: impl Fn(Pid) -> bool) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").expect("/proc is mounted");
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .map(Pid::from_raw)
        .filter(|pid| wanted(*pid))
        .collect()
}

/// Whether one of a process's links, such as `exe`, leads there.
fn leads_to(pid: Pid, link: &str, path: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/{link}")).is_ok_and(|it| it == path)
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let parent = stat.rsplit(") ").next()?.split(' ').nth(1)?;
    parent.parse().map(Pid::from_raw).ok()
}

/// Looks until it is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
