//! The head of a request to a template.
//! RUNS IN: caller, template, child, spare
//!
//! The template parses the head, and reads a worker's name; the child parses the
//! [body](crate::protocol::body), so that no request can make a template grow or
//! fail. The table is in [`protocol`](crate::protocol).

use crate::protocol::codec::Reader;
use crate::protocol::{MAX_INLINE_FDS, MAX_REQUEST, Malformed, VERSION};

/// Number of bytes of the head.
pub(crate) const HEAD_LEN: usize = 24;

/// What the child becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Worker,
    Template,
    Program,
}

/// Where the body of the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyAt {
    /// Behind the head.
    Inline,
    /// In a memory file, whose descriptor comes with the message.
    Memfd,
}

/// Which of the caller's standard streams come with a request, and whether its
/// directory does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    pub(crate) streams: [bool; 3],
    pub(crate) directory: bool,
    /// Whether the caller's streams replace those that the template owns.
    pub(crate) replaces_streams: bool,
    /// The same of the directory.
    pub(crate) replaces_directory: bool,
}

impl Surroundings {
    /// Place of the byte in a message.
    pub(crate) const AT: usize = 6;

    /// The byte of the head.
    pub(crate) fn encode(self) -> u8 {
        let [stdin, stdout, stderr] = self.streams;
        let flags = [
            stdin,
            stdout,
            stderr,
            self.directory,
            self.replaces_streams,
            self.replaces_directory,
        ];
        (0..)
            .zip(flags)
            .fold(0, |byte, (bit, flag)| byte | u8::from(flag) << bit)
    }

    fn parse(byte: u8) -> Result<Surroundings, Malformed> {
        let flag = |bit: u8| byte & (1 << bit) != 0;
        match byte >> 6 {
            0 => Ok(Surroundings {
                streams: [0, 1, 2].map(flag),
                directory: flag(3),
                replaces_streams: flag(4),
                replaces_directory: flag(5),
            }),
            _ => Err(Malformed::Because("it has an unknown flag")),
        }
    }

    /// Number of descriptors that come with the message.
    pub(crate) fn fd_count(self) -> usize {
        let streams = self.streams.iter().filter(|sent| **sent).count();
        streams + usize::from(self.directory)
    }
}

/// The fixed part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) role: Role,
    pub(crate) body_at: BodyAt,
    /// The template kills the child when nobody holds the read end of the status pipe
    /// any more.
    pub(crate) kill_on_drop: bool,
    pub(crate) surroundings: Surroundings,
    /// Number of argument descriptors that come with the message.
    pub(crate) inline_fds: u32,
    /// Number of argument descriptors that follow over the reply socket.
    pub(crate) trailing_fds: u32,
    pub(crate) body_len: u64,
}

impl Head {
    /// The head for a body and a number of argument descriptors.
    pub(crate) fn new(role: Role, body: &[u8], arg_fds: usize) -> Head {
        let body_at = match HEAD_LEN + body.len() {
            ..=MAX_REQUEST => BodyAt::Inline,
            _ => BodyAt::Memfd,
        };
        let inline_fds = arg_fds.min(MAX_INLINE_FDS);
        Head {
            role,
            body_at,
            kill_on_drop: false,
            surroundings: Surroundings::default(),
            inline_fds: inline_fds as u32,
            trailing_fds: (arg_fds - inline_fds) as u32,
            body_len: body.len() as u64,
        }
    }

    /// Number of descriptors that come with the message.
    pub(crate) fn fd_count(&self) -> usize {
        let control = usize::from(self.role == Role::Template);
        let memory = usize::from(self.body_at == BodyAt::Memfd);
        2 + control + memory + self.surroundings.fd_count() + self.inline_fds as usize
    }

    /// The message: the head, and an inline body.
    pub(crate) fn encode(&self, body: &[u8]) -> Vec<u8> {
        let role = match self.role {
            Role::Worker => 1,
            Role::Template => 2,
            Role::Program => 3,
        };
        let (body_at, body) = match self.body_at {
            BodyAt::Inline => (0, body),
            BodyAt::Memfd => (1, &[][..]),
        };
        let mut out = Vec::with_capacity(HEAD_LEN + body.len());
        let kill = u8::from(self.kill_on_drop);
        let surroundings = self.surroundings.encode();
        out.extend([b'A', b'F', VERSION, role, body_at, kill, surroundings, 0]);
        out.extend(self.inline_fds.to_le_bytes());
        out.extend(self.trailing_fds.to_le_bytes());
        out.extend(self.body_len.to_le_bytes());
        out.extend_from_slice(body);
        out
    }

    /// Parses a message into its head and an inline body.
    pub(crate) fn parse(message: &[u8]) -> Result<(Head, &[u8]), Malformed> {
        let mut reader = Reader(message);
        if reader.array()? != *b"AF" {
            return Err(Malformed::Because("it is no request"));
        }
        match reader.u8()? {
            VERSION => {}
            other => return Err(Malformed::Version(other)),
        }
        let role = match reader.u8()? {
            1 => Role::Worker,
            2 => Role::Template,
            3 => Role::Program,
            _ => return Err(Malformed::Because("it asks for an unknown kind of process")),
        };
        let body_at = match reader.u8()? {
            0 => BodyAt::Inline,
            1 => BodyAt::Memfd,
            _ => return Err(Malformed::Because("its body is in an unknown place")),
        };
        let kill_on_drop = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed::Because("it has an unknown flag")),
        };
        let surroundings = Surroundings::parse(reader.u8()?)?;
        reader.zeros(1)?;
        let head = Head {
            role,
            body_at,
            kill_on_drop,
            surroundings,
            inline_fds: reader.u32()?,
            trailing_fds: reader.u32()?,
            body_len: reader.u64()?,
        };
        if head.inline_fds as usize > MAX_INLINE_FDS {
            return Err(Malformed::Because("it announces too many descriptors"));
        }
        let here = match body_at {
            BodyAt::Inline => head.body_len,
            BodyAt::Memfd => 0,
        };
        if reader.0.len() as u64 != here {
            return Err(Malformed::Because("its length is not what it announces"));
        }
        Ok((head, reader.0))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::args::value::Arg;
    use crate::protocol::body::Body;
    use crate::spec::{Setting, Step};

    fn bytes(bytes: &[u8]) -> Step {
        Step::Arg(Arg::Bytes(bytes.to_vec()))
    }

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    /// The table of `protocol`'s documentation, as bytes.
    #[test]
    fn golden_request() {
        let steps = vec![bytes(b"world"), Step::Arg(Arg::Fd(null()))];
        let name = "greet".into();
        let settings = vec![Setting::EnvClear];
        let (body, fds) = Body {
            name,
            settings,
            steps,
            program: None,
        }
        .encode();
        let head = Head::new(Role::Worker, &body, fds.len());
        let golden = b"AF\x01\x01\0\0\0\0\x01\0\0\0\0\0\0\0\x21\0\0\0\0\0\0\0\
            \x05\0\0\0\0\0\0\0greet\x01\0\0\0\x09\0\x05\0\0\0\0\0\0\0world\x01";
        assert_eq!(head.encode(&body), golden);

        let (parsed, rest) = Head::parse(golden).unwrap();
        assert_eq!((parsed, rest), (head, &body[..]));
        let body = Body::parse(rest, fds).unwrap();
        assert_eq!(body.name, "greet".into());
        assert!(matches!(body.settings[..], [Setting::EnvClear]));
        let [Step::Arg(Arg::Bytes(world)), Step::Arg(Arg::Fd(_))] = &body.steps[..] else {
            panic!("{body:?}")
        };
        assert_eq!(world, b"world");
    }

    #[test]
    fn a_child_to_be_killed_is_marked() {
        let mut head = Head::new(Role::Worker, b"", 0);
        head.kill_on_drop = true;
        let message = head.encode(b"");
        assert_eq!(&message[..8], b"AF\x01\x01\0\x01\0\0");
        assert_eq!(Head::parse(&message).unwrap().0, head);
    }

    #[test]
    fn surroundings_are_marked() {
        let mut head = Head::new(Role::Worker, b"", 0);
        head.surroundings = Surroundings {
            streams: [true, false, true],
            directory: true,
            replaces_streams: false,
            replaces_directory: true,
        };
        let mut message = head.encode(b"");
        assert_eq!(&message[..8], b"AF\x01\x01\0\0\x2d\0");
        assert_eq!(
            (Head::parse(&message).unwrap().0, head.fd_count()),
            (head, 5)
        );
        message[Surroundings::AT] = 0x40;
        assert!(Head::parse(&message).is_err());
    }

    #[test]
    fn what_does_not_fit_goes_elsewhere() {
        let body = vec![0; MAX_REQUEST];
        let mut head = Head::new(Role::Template, &body, 1000);
        head.surroundings = Surroundings {
            streams: [true; 3],
            directory: true,
            ..Surroundings::default()
        };
        assert_eq!(head.body_at, BodyAt::Memfd);
        assert_eq!(head.inline_fds + head.trailing_fds, 1000);
        assert_eq!(head.fd_count(), 253);
        let message = head.encode(&body);
        assert_eq!(message.len(), HEAD_LEN);
        assert_eq!(Head::parse(&message).unwrap().0, head);
    }

    /// Every prefix, changed byte and suffix is either refused or understood.
    #[test]
    fn damage_is_refused() {
        let name = "greet".into();
        let steps = vec![bytes(&[7; 20])];
        let (body, _) = Body {
            name,
            settings: Vec::new(),
            steps,
            program: None,
        }
        .encode();
        let whole = Head::new(Role::Worker, &body, 0).encode(&body);
        for end in 0..whole.len() {
            assert!(Head::parse(&whole[..end]).is_err(), "{end}");
        }
        for end in (0..body.len()).filter(|end| *end != 17) {
            assert!(Body::parse(&body[..end], Vec::new()).is_err(), "{end}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 2, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                if let Ok((_, body)) = Head::parse(&damaged) {
                    let _ = Body::parse(body, Vec::new());
                }
            }
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(Head::parse(&longer).is_err());
    }
}
