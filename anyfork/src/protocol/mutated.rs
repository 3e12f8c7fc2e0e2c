//! Every parser takes any bytes: recorded messages with changes, the same in every run.
//! RUNS IN: any

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::args::Args;
use crate::args::value::Arg;
use crate::error::{Error, ErrorKind};
use crate::failure::Failure;
use crate::protocol::body::Body;
use crate::protocol::control::{ControlMessage, SpareTarget};
use crate::protocol::notice::{Returned, SpareNotice};
use crate::protocol::request::{Head, Role};
use crate::protocol::{hello, reply, status};
use crate::spec::name::FunctionName;
use crate::spec::{Program, Setting, Step};

/// Number of messages that are tried.
const COUNT: usize = 10_000;

/// Numbers that are the same in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) as usize % end
    }

    fn mutated(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        const NUMBERS: [u64; 6] = [u64::MAX, 1 << 63, 1 << 32, 1 << 31, 65536, 255];
        const BYTES: [u8; 10] = [0, 1, 2, 3, 4, 15, 17, 0x7f, 0x80, 0xff];
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(4) {
            if out.is_empty() {
                break;
            }
            let at = self.below(out.len());
            let end = at + self.below(out.len() - at + 1);
            match self.below(7) {
                0 => out[at] ^= 1 << self.below(8),
                1 => out[at] = BYTES[self.below(BYTES.len())],
                2 => out.truncate(at),
                3 => out.extend_from_slice(&other[..self.below(other.len() + 1)]),
                4 => {
                    let part = out[at..end].to_vec();
                    out.splice(at..at, part);
                }
                5 => {
                    let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
                    let end = out.len().min(at + 8);
                    out[at..end].copy_from_slice(&number[..end - at]);
                }
                _ => drop(out.drain(at..end)),
            }
        }
        out
    }
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

fn body(role: Role) -> (Vec<u8>, usize) {
    let text = OsString::from;
    let name = |name: &str| FunctionName::from(name.to_owned());
    let bytes = |bytes: &[u8]| Arg::Bytes(bytes.to_vec());
    let body = Body {
        name: name("a::worker"),
        settings: vec![
            Setting::Stream {
                number: 1,
                to: Some(null()),
            },
            Setting::Stream {
                number: 2,
                to: None,
            },
            Setting::ProcessGroup(0),
            Setting::Limit {
                resource: 7,
                soft: 100,
                hard: 1000,
            },
            Setting::Nice(1),
            Setting::Groups(vec![1, 2, 3]),
            Setting::Group(1),
            Setting::User(1),
            Setting::Directory(PathBuf::from("/tmp")),
            Setting::EnvClear,
            Setting::Env(text("NAME"), Some(text("value"))),
            Setting::Env(text("NAME"), None),
            Setting::Title("title".to_owned()),
            Setting::Spares(3),
        ],
        steps: vec![
            Step::Init {
                name: name("a::init"),
                args: [bytes(b"one"), Arg::Fd(null())].into_iter().collect(),
            },
            Step::Require(PathBuf::from("/lib/x.so")),
            Step::Arg(bytes(b"argument")),
            Step::Arg(Arg::Fd(null())),
        ],
        program: (role == Role::Program).then(|| Program {
            path: text("/bin/true"),
            arg0: text("true"),
            args: vec![text("a"), text("b")],
            fds: vec![(null(), 5)],
        }),
    };
    let (bytes, fds) = body.encode();
    (bytes, fds.len())
}

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for role in [Role::Worker, Role::Template, Role::Program] {
        let (body, fds) = body(role);
        corpus.push(Head::new(role, &body, fds).encode(&body));
        corpus.push(body);
    }
    let plain = Body {
        name: FunctionName::from("worker".to_owned()),
        settings: Vec::new(),
        steps: vec![
            Step::Arg(Arg::Bytes(vec![7; 40])),
            Step::Arg(Arg::Fd(null())),
        ],
        program: None,
    };
    corpus.push(plain.encode().0);
    let target = SpareTarget { count: 3, at: 7 };
    corpus.push(ControlMessage::SetSpares(target).encode().to_vec());
    corpus.push(ControlMessage::ExitSpare.encode().to_vec());
    corpus.push(SpareNotice::SetSpares(target).encode().to_vec());
    let (pid, kill_on_drop) = (77, true);
    corpus.push(SpareNotice::Taken { pid, kill_on_drop }.encode().to_vec());
    corpus.push(Returned { pid, kill_on_drop }.encode().to_vec());
    corpus.push(hello::MESSAGE.to_vec());
    corpus.push(reply::hello().to_vec());
    corpus.push(reply::claim().to_vec());
    corpus.push(reply::ready(77).to_vec());
    corpus.push(reply::failed(&Error::new(ErrorKind::Io, "failed")));
    let text = str::to_owned;
    let failure = Failure::new(true, text("why"), text("a.rs:1"), text("t"), text("0: f"));
    corpus.push(status::encode_failure(&failure, 4096));
    corpus.push(status::encode_exit(256, 1, 2, 3).to_vec());
    corpus.push(status::encode_own_exit(3).to_vec());
    corpus
}

/// Gives the bytes to every parser. What a parser makes of them is no more than they are.
fn parse_all(bytes: &[u8], fds: usize) {
    let some = || (0..fds).map(|_| null()).collect::<Vec<_>>();
    let check = |parsed: Body| {
        assert!(parsed.settings.len() + parsed.steps.len() <= bytes.len());
    };
    if let Ok((head, body)) = Head::parse(bytes) {
        assert!(body.len() <= bytes.len() && head.fd_count() >= 2);
        let _ = Body::parse(body, some()).map(check);
    }
    let _ = Body::parse(bytes, some()).map(check);
    if Body::fast_path_name(bytes).is_some() {
        let _ = Body::parse_fast_path(bytes, some()).map(|args: Args| {
            assert!(args.count() <= bytes.len());
        });
    }
    let _ = ControlMessage::parse(bytes);
    let _ = SpareNotice::parse(bytes);
    let _ = Returned::parse(bytes);
    let _ = hello::parse(bytes);
    if let Some((head, rest)) = bytes.split_first_chunk() {
        let _ = reply::parse_head(head);
        let _ = reply::parse_failure(u16::from(head[0]), rest);
    }
    let mut rest = bytes;
    while let Ok(Some((_, behind))) = status::take(rest) {
        assert!(behind.len() < rest.len());
        rest = behind;
    }
}

#[test]
fn no_bytes_are_too_strange_for_a_parser() {
    let corpus = corpus();
    let mut random = Random(0x5eed);
    for message in &corpus {
        parse_all(message, 5);
    }
    for _ in 0..COUNT {
        let message = &corpus[random.below(corpus.len())];
        let other = &corpus[random.below(corpus.len())];
        let fds = random.below(6);
        parse_all(&random.mutated(message, other), fds);
    }
}
