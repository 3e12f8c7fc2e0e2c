//! Sessions keep their variables, and end one by one.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The server, killed when its test is over.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Server {
        let mut child = Command::new(support::example("sticky_session"))
            // To look the names of a backtrace up takes long, which counts to a line's time.
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("run the example");
        let stdout = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("an address");
        let address = line.trim().strip_prefix("listening on ").expect(&line);
        let address = address.to_owned();
        Server { child, address }
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        let limit = Some(Duration::from_secs(60));
        stream.set_read_timeout(limit).expect("a time limit");
        Client(BufReader::new(stream))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    /// The answer to a line.
    fn ask(&mut self, line: &str) -> String {
        writeln!(self.0.get_mut(), "{line}").expect("the server is there");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.0.read_line(&mut answer).expect("an answer");
        answer.trim_end().to_owned()
    }
}

#[test]
fn each_client_has_an_interpreter_of_its_own() {
    let server = Server::start();
    let [mut one, mut two] = [server.client(), server.client()];
    assert_eq!(one.ask("x = 6"), "6");
    assert_eq!(two.ask("x = 100"), "100");
    assert_eq!(one.ask("x * 7"), "42");
    assert_eq!(two.ask("x"), "100");
    assert_eq!(one.ask("y"), "error: `y` is not known");
    assert_eq!(one.ask("x ? 1"), "error: `?` is no operator");
}

#[test]
fn what_crashes_or_hangs_ends_one_session() {
    let server = Server::start();
    let [mut one, mut two, mut three] = [server.client(), server.client(), server.client()];
    for client in [&mut one, &mut two, &mut three] {
        assert_eq!(client.ask("x = 6"), "6");
    }
    let over = one.ask("x / 0");
    assert!(over.starts_with("the session is over: "), "{over}");
    assert!(over.contains("divide by zero"), "{over}");
    assert_eq!(one.answer(), "", "it has hung up");
    let over = two.ask("hang");
    assert!(over.contains("5s"), "{over}");
    assert_eq!(three.ask("x"), "6");
    assert_eq!(server.client().ask("x"), "error: `x` is not known");
}
