//! The request to a template: its head. The table is in the parent.
//!
//! The template reads the head, and a worker's name; the [body](crate::protocol::body) is
//! the child's business, so that no request can make a template grow or fail.

use crate::protocol::codec::Reader;
use crate::protocol::{MAX_ATTACHED, MAX_REQUEST, Malformed, VERSION};

/// Octets of the head.
pub(crate) const HEAD: usize = 24;

/// What the child is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Worker,
    Template,
    Program,
}

/// Where the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Here,
    InMemoryFile,
}

/// The fixed part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) then: Then,
    pub(crate) place: Place,
    /// The child is killed when nobody reads its status pipe any more.
    pub(crate) kill_on_drop: bool,
    /// Argument descriptors that come with the message.
    pub(crate) attached: u32,
    /// Argument descriptors that come over the answer socket.
    pub(crate) following: u32,
    pub(crate) body_len: u64,
}

impl Head {
    /// The head for a body and so many argument descriptors.
    pub(crate) fn new(then: Then, body: &[u8], descriptors: usize) -> Head {
        let place = match HEAD + body.len() {
            ..=MAX_REQUEST => Place::Here,
            _ => Place::InMemoryFile,
        };
        let attached = descriptors.min(MAX_ATTACHED);
        Head {
            then,
            place,
            kill_on_drop: false,
            attached: attached as u32,
            following: (descriptors - attached) as u32,
            body_len: body.len() as u64,
        }
    }

    /// How many descriptors the message carries.
    pub(crate) fn carried(&self) -> usize {
        let control = usize::from(self.then == Then::Template);
        let memory = usize::from(self.place == Place::InMemoryFile);
        2 + control + memory + self.attached as usize
    }

    /// The message: the head, and the body if it belongs there.
    pub(crate) fn encode(&self, body: &[u8]) -> Vec<u8> {
        let then = match self.then {
            Then::Worker => 1,
            Then::Template => 2,
            Then::Program => 3,
        };
        let (place, body) = match self.place {
            Place::Here => (0, body),
            Place::InMemoryFile => (1, &[][..]),
        };
        let mut out = Vec::with_capacity(HEAD + body.len());
        let kill = u8::from(self.kill_on_drop);
        out.extend([b'A', b'F', VERSION, then, place, kill, 0, 0]);
        out.extend(self.attached.to_le_bytes());
        out.extend(self.following.to_le_bytes());
        out.extend(self.body_len.to_le_bytes());
        out.extend_from_slice(body);
        out
    }

    /// Parses a message into its head and the octets behind it.
    pub(crate) fn parse(message: &[u8]) -> Result<(Head, &[u8]), Malformed> {
        let mut reader = Reader(message);
        if reader.array()? != *b"AF" {
            return Err(Malformed::Because("it is no request"));
        }
        match reader.u8()? {
            VERSION => {}
            other => return Err(Malformed::Version(other)),
        }
        let then = match reader.u8()? {
            1 => Then::Worker,
            2 => Then::Template,
            3 => Then::Program,
            _ => return Err(Malformed::Because("it asks for an unknown kind of process")),
        };
        let place = match reader.u8()? {
            0 => Place::Here,
            1 => Place::InMemoryFile,
            _ => return Err(Malformed::Because("its body is in an unknown place")),
        };
        let kill_on_drop = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed::Because("it has an unknown flag")),
        };
        reader.zeros(2)?;
        let head = Head {
            then,
            place,
            kill_on_drop,
            attached: reader.u32()?,
            following: reader.u32()?,
            body_len: reader.u64()?,
        };
        if head.attached as usize > MAX_ATTACHED {
            return Err(Malformed::Because("it announces too many descriptors"));
        }
        let here = match place {
            Place::Here => head.body_len,
            Place::InMemoryFile => 0,
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
    use crate::args::Arg;
    use crate::protocol::body::Body;
    use crate::spec::Setting;
    use crate::spec::step::Step;

    fn octets(octets: &[u8]) -> Step {
        Step::Arg(Arg::Bytes(octets.to_vec()))
    }

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    /// The table in the parent's documentation, as octets.
    #[test]
    fn golden_request() {
        let steps = vec![octets(b"world"), Step::Arg(Arg::Fd(null()))];
        let name = "greet".to_owned();
        let settings = vec![Setting::EnvClear];
        let (body, fds) = Body {
            name,
            settings,
            steps,
            program: None,
        }
        .encode();
        let head = Head::new(Then::Worker, &body, fds.len());
        let golden = b"AF\x01\x01\0\0\0\0\x01\0\0\0\0\0\0\0\x21\0\0\0\0\0\0\0\
            \x05\0\0\0\0\0\0\0greet\x01\0\0\0\x09\0\x05\0\0\0\0\0\0\0world\x01";
        assert_eq!(head.encode(&body), golden);

        let (parsed, rest) = Head::parse(golden).unwrap();
        assert_eq!((parsed, rest), (head, &body[..]));
        let body = Body::parse(rest, fds).unwrap();
        assert_eq!(body.name, "greet");
        assert!(matches!(body.settings[..], [Setting::EnvClear]));
        let [Step::Arg(Arg::Bytes(world)), Step::Arg(Arg::Fd(_))] = &body.steps[..] else {
            panic!("{body:?}")
        };
        assert_eq!(world, b"world");
    }

    #[test]
    fn a_child_to_be_killed_is_marked() {
        let mut head = Head::new(Then::Worker, b"", 0);
        head.kill_on_drop = true;
        let message = head.encode(b"");
        assert_eq!(&message[..8], b"AF\x01\x01\0\x01\0\0");
        assert_eq!(Head::parse(&message).unwrap().0, head);
    }

    #[test]
    fn what_does_not_fit_goes_elsewhere() {
        let body = vec![0; MAX_REQUEST];
        let head = Head::new(Then::Template, &body, 1000);
        assert_eq!(head.place, Place::InMemoryFile);
        assert_eq!(head.attached + head.following, 1000);
        assert_eq!(head.carried(), 253);
        let message = head.encode(&body);
        assert_eq!(message.len(), HEAD);
        assert_eq!(Head::parse(&message).unwrap().0, head);
    }

    /// No prefix, no changed octet and no suffix makes the parser do anything
    /// but refuse or understand.
    #[test]
    fn damage_is_refused() {
        let name = "greet".to_owned();
        let steps = vec![octets(&[7; 20])];
        let (body, _) = Body {
            name,
            settings: Vec::new(),
            steps,
            program: None,
        }
        .encode();
        let whole = Head::new(Then::Worker, &body, 0).encode(&body);
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
