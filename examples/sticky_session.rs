//! An interpreter for each client, whose variables live in a process that no other client
//! uses. A line that crashes or hangs there ends this session, and no other.
//!
//! `cargo run --example sticky_session -- 127.0.0.1:7000`, and `nc 127.0.0.1 7000` for each client
//!
//! It prints `listening on 127.0.0.1:7000`. A client that sends `x = 6` gets `6`; then
//! `x * 7` gives `42`, `y` gives ``error: `y` is not known``, and `x / 0` ends the session.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyfork::pool::Lease;
use anyfork::{Pool, Process};

/// Of this process, and so of one session.
static VARIABLES: Mutex<BTreeMap<String, i64>> = Mutex::new(BTreeMap::new());

/// Runs a line: `NAME = EXPRESSION`, or an expression, which goes from left to right.
#[anyfork::call]
fn run(line: String) -> Result<i64, String> {
    if line == "hang" {
        thread::sleep(Duration::MAX);
    }
    let mut variables = VARIABLES.lock().expect("a panic ends the session");
    let assignment = line.split_once('=');
    let (name, expression) = assignment.map_or((None, &line[..]), |(name, it)| (Some(name), it));
    let value = |word: &str| {
        let number = word.parse().ok().or_else(|| variables.get(word).copied());
        number.ok_or_else(|| format!("`{word}` is not known"))
    };
    let mut words = expression.split_whitespace();
    let mut result = value(words.next().unwrap_or("0"))?;
    while let (Some(operator), Some(word)) = (words.next(), words.next()) {
        let right = value(word)?;
        result = match operator {
            "+" => result + right,
            "-" => result - right,
            "*" => result * right,
            "/" => result / right, // by zero it panics
            _ => return Err(format!("`{operator}` is no operator")),
        };
    }
    variables.extend(name.map(|name| (name.trim().to_owned(), result)));
    Ok(result)
}

/// Answers a client's lines, until it hangs up or its session is over.
fn talk(lease: &mut Lease, client: TcpStream) -> std::io::Result<()> {
    let mut answers = client.try_clone()?;
    for line in BufReader::new(client).lines() {
        let call = run::call(&mut *lease, line?).timeout(Duration::from_secs(5));
        match call.blocking() {
            Ok(Ok(value)) => writeln!(answers, "{value}")?,
            Ok(Err(error)) => writeln!(answers, "error: {error}")?,
            Err(error) => return writeln!(answers, "the session is over: {error}"),
        }
    }
    Ok(())
}

#[anyfork::early] // the template is forked before main, so it is small
fn main() -> anyfork::Result<()> {
    let pool = Pool::builder(Process::new()?).max(100).idle(2).build()?;
    let listener = TcpListener::bind(std::env::args().nth(1).unwrap_or("127.0.0.1:0".into()))?;
    println!("listening on {}", listener.local_addr()?);
    for client in listener.incoming() {
        let (client, leasing) = (client?, pool.lease()); // the 101st client waits
        thread::spawn(move || -> anyfork::Result<()> {
            let mut lease = leasing.blocking()?;
            let talked = talk(&mut lease, client);
            lease.retire(); // nobody else finds this client's variables
            Ok(talked?)
        });
    }
    Ok(())
}
