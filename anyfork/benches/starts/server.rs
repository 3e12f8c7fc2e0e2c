//! Systems in a process of their own, which takes orders: a line each on its
//! standard input, and a line of answer. So they take turns with those in this
//! process, and start-up is not timed.
//!
//! The orders are described in `anyevent_fork.pl`; the other servers are
//! `forkserver.py` and, in this program's own file, `bare`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::machine;
use crate::system::{Result, System};

/// Orders a block.
const STARTS: &str = "starts";

/// A process that takes orders. It ends when this is dropped.
pub(crate) struct Server {
    name: &'static str,
    /// With what a block is ordered.
    starts: &'static str,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Server> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        Ok(Server {
            name,
            starts: STARTS,
            orders: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
        })
    }

    /// The same with another order for its blocks, which are spaced.
    pub(crate) fn spaced(mut self, name: &'static str, starts: &'static str) -> Server {
        (self.name, self.starts) = (name, starts);
        self
    }

    /// Gives an order: the numbers of the answer.
    pub(crate) fn order(&mut self, what: &str, count: usize) -> Result<Vec<u64>> {
        let orders = self.orders.as_mut().expect("open until the drop");
        writeln!(orders, "{what} {count}")?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            return Err(format!("{}: ended when asked for `{what}`", self.name).into());
        }
        match answer.trim() {
            "ok" => Ok(Vec::new()),
            numbers => Ok(numbers
                .split_whitespace()
                .map(str::parse)
                .collect::<std::result::Result<_, _>>()?),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

impl System for Server {
    fn name(&self) -> &'static str {
        self.name
    }

    fn block(&mut self, starts: usize) -> Result<Vec<Duration>> {
        let nanos = self.order(self.starts, starts)?;
        Ok(nanos.into_iter().map(Duration::from_nanos).collect())
    }

    fn back_to_back(&self) -> bool {
        self.starts == STARTS
    }

    fn heap(&mut self, size: usize) -> Result<bool> {
        self.order("heap", 0)?;
        let room = machine::has_room_for(size);
        if room {
            self.order("heap", size)?;
        }
        Ok(room)
    }

    fn hold(&mut self, count: usize) -> Result<Option<Vec<u32>>> {
        if self.starts != STARTS {
            return Ok(None);
        }
        let pids = self.order("hold", count)?;
        let pids = pids.into_iter().map(u32::try_from);
        Ok(Some(pids.collect::<std::result::Result<_, _>>()?))
    }

    fn release(&mut self) -> Result<()> {
        self.order("release", 0).map(drop)
    }
}

/// The servers in other languages that are installed here.
pub(crate) fn foreign() -> Vec<Server> {
    const PERL: [&str; 4] = ["-MAnyEvent::Fork", "-MEV", "-e", "1"];
    const PYTHON: [&str; 2] = [
        "-c",
        "import platform, multiprocessing.forkserver; \
        assert platform.python_implementation() == 'CPython'",
    ];
    let perl = server("AnyEvent::Fork", "perl", &PERL, "anyevent_fork.pl");
    let python = server("CPython forkserver", "python3", &PYTHON, "forkserver.py");
    perl.into_iter().chain(python).collect()
}

/// A server in `language`, if `check` passes and it can start a process.
fn server(name: &'static str, language: &str, check: &[&str], script: &str) -> Option<Server> {
    let skipped = |why: &str| println!("{name}: skipped, {why}");
    let quiet = |command: &mut Command| command.stderr(Stdio::null()).status();
    if !quiet(Command::new(language).args(check)).is_ok_and(|status| status.success()) {
        skipped("it is not installed");
        return None;
    }
    let script = format!("{}/benches/starts/{script}", env!("CARGO_MANIFEST_DIR"));
    let started = Server::start(name, Command::new(language).arg(script));
    let proven = started.and_then(|mut server| server.block(1).map(|_| server));
    proven.inspect_err(|error| skipped(&error.to_string())).ok()
}
