//! Two clients: one that sees the bytes as they come, and an ordinary one.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::server::{DEADLINE, Server};

/// A client that sees the bytes as they come.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn new(server: &Server) -> Client {
        let stream = TcpStream::connect(server.address()).expect("connect");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        Client {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        let stream = self.stream.get_mut();
        stream.write_all(text.as_bytes()).expect("send");
    }

    /// Reads the response's header.
    pub(crate) fn status(&mut self) -> u16 {
        let status = self.line().expect("a status line");
        while !self.line().expect("a field").is_empty() {}
        let code = status.split(' ').nth(1).expect(&status);
        code.parse().expect(&status)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.strip_suffix("\r\n");
        line.map(str::to_owned)
            .ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    /// The next part of a page; the last is empty.
    pub(crate) fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let length = usize::from_str_radix(&self.line()?, 16).expect("the length of a chunk");
        let mut chunk = vec![0; length];
        self.stream.read_exact(&mut chunk)?;
        assert_eq!(self.line()?, "");
        Ok(chunk)
    }

    /// Reads exactly this, in however many parts.
    pub(crate) fn until_it_says(&mut self, text: &str) {
        let mut came = Vec::new();
        while came.len() < text.len() {
            let chunk = self.chunk().expect("a part of the page");
            assert!(!chunk.is_empty(), "the page has ended");
            came.extend(chunk);
        }
        assert_eq!(came, text.as_bytes());
    }

    /// All that is still to come, if it is complete.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            match self.chunk()? {
                chunk if chunk.is_empty() => break Ok(all),
                chunk => all.extend(chunk),
            }
        }
    }
}

pub(crate) fn get(path: &str) -> String {
    format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

pub(crate) fn post(script: &str, length: usize) -> String {
    format!("POST /{script} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
}

/// A client for whom every status is an answer, that goes nowhere else, and makes
/// a connection of its own for every request.
pub(crate) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .timeout_global(Some(DEADLINE));
    config.build().into()
}

/// The page, if all is well.
pub(crate) fn text(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> String {
    let mut answer = answer.expect("every request is answered");
    let text = answer.body_mut().read_to_string().expect("a page");
    assert_eq!(answer.status(), 200, "{text}");
    text
}
