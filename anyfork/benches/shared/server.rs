//! Systems in a process of their own, which takes orders: a line each on its
//! standard input, and a line of answer. So they take turns with those in this
//! process, and start-up is not timed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::system::Result;

/// A process that takes orders. It ends when this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
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
            orders: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
        })
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

/// A language that may be installed here, with what a system needs in it.
pub(crate) struct Language {
    program: &'static str,
    /// Arguments with which it exits with 0 if everything is there.
    check: &'static [&'static str],
}

pub(crate) const PERL: Language = Language {
    program: "perl",
    check: &["-MAnyEvent::Fork", "-MEV", "-e", "1"],
};

pub(crate) const PYTHON: Language = Language {
    program: "python3",
    check: &[
        "-c",
        "import platform, multiprocessing.forkserver; \
        assert platform.python_implementation() == 'CPython'",
    ],
};

impl Language {
    /// A server of that script below `benches/`, if the language is installed and the
    /// server obeys that order.
    pub(crate) fn server(
        &self,
        name: &'static str,
        script: &str,
        (order, count): (&str, usize),
    ) -> Option<Server> {
        let skipped = |why: &str| println!("{name}: skipped, {why}");
        let mut check = Command::new(self.program);
        let status = check.args(self.check).stderr(Stdio::null()).status();
        if !status.is_ok_and(|status| status.success()) {
            skipped("it is not installed");
            return None;
        }
        let script = format!("{}/benches/{script}", env!("CARGO_MANIFEST_DIR"));
        let started = Server::start(name, Command::new(self.program).arg(script));
        let proven = started.and_then(|mut server| server.order(order, count).map(|_| server));
        proven.inspect_err(|error| skipped(&error.to_string())).ok()
    }
}
