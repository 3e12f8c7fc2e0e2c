//! The request to a template: head and body. The table is in the parent.
//!
//! The template reads the head only; the body is the child's business, so that
//! no request can make a template grow or fail.

use super::wire::{Reader, put_counted};
use super::{MAX_ATTACHED, MAX_REQUEST, Malformed, VERSION};
use crate::args::Arg;

/// Octets of the head.
pub(crate) const HEAD: usize = 24;

/// What the child is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Worker,
    Template,
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
        };
        let (place, body) = match self.place {
            Place::Here => (0, body),
            Place::InMemoryFile => (1, &[][..]),
        };
        let mut out = Vec::with_capacity(HEAD + body.len());
        out.extend([b'A', b'F', VERSION, then, place, 0, 0, 0]);
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
            return Err(Malformed("it is no request"));
        }
        if reader.u8()? != VERSION {
            return Err(Malformed("its version is another one"));
        }
        let then = match reader.u8()? {
            1 => Then::Worker,
            2 => Then::Template,
            _ => return Err(Malformed("it asks for an unknown kind of process")),
        };
        let place = match reader.u8()? {
            0 => Place::Here,
            1 => Place::InMemoryFile,
            _ => return Err(Malformed("its body is in an unknown place")),
        };
        reader.zeros(3)?;
        let head = Head {
            then,
            place,
            attached: reader.u32()?,
            following: reader.u32()?,
            body_len: reader.u64()?,
        };
        if head.attached as usize > MAX_ATTACHED {
            return Err(Malformed("it announces too many descriptors"));
        }
        let here = match place {
            Place::Here => head.body_len,
            Place::InMemoryFile => 0,
        };
        if reader.0.len() as u64 != here {
            return Err(Malformed("its length is not what it announces"));
        }
        Ok((head, reader.0))
    }
}

/// Writes a body.
pub(crate) struct BodyWriter(Vec<u8>);

impl BodyWriter {
    /// For a worker of that name, or a template (empty).
    pub(crate) fn new(name: &str) -> BodyWriter {
        let mut out = Vec::new();
        put_counted(&mut out, name.as_bytes());
        BodyWriter(out)
    }

    /// Appends an argument; its descriptor, if it is one, travels beside.
    pub(crate) fn arg(&mut self, arg: &Arg) {
        match arg {
            Arg::Bytes(bytes) => {
                self.0.push(0);
                put_counted(&mut self.0, bytes);
            }
            Arg::Fd(_) => self.0.push(1),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// An argument in a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Octets(&'a [u8]),
    NextDescriptor,
}

/// Parses a body into the worker's name and the arguments.
pub(crate) fn parse_body(body: &[u8]) -> Result<(&str, Vec<Item<'_>>), Malformed> {
    let mut reader = Reader(body);
    let name = reader.counted()?;
    let name = str::from_utf8(name).map_err(|_| Malformed("a name is not UTF-8"))?;
    let mut items = Vec::new();
    while !reader.is_empty() {
        items.push(match reader.u8()? {
            0 => Item::Octets(reader.counted()?),
            1 => Item::NextDescriptor,
            _ => return Err(Malformed("an argument is of an unknown kind")),
        });
    }
    Ok((name, items))
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    /// The table in the parent's documentation, as octets.
    #[test]
    fn golden_request() {
        let null = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let mut body = BodyWriter::new("greet");
        body.arg(&Arg::Bytes(b"world".to_vec()));
        body.arg(&Arg::Fd(null));
        let body = body.finish();
        let head = Head::new(Then::Worker, &body, 1);
        let golden = b"AF\x01\x01\0\0\0\0\x01\0\0\0\0\0\0\0\x1c\0\0\0\0\0\0\0\
            \x05\0\0\0\0\0\0\0greet\0\x05\0\0\0\0\0\0\0world\x01";
        assert_eq!(head.encode(&body), golden);

        let (parsed, rest) = Head::parse(golden).unwrap();
        assert_eq!((parsed, rest), (head, &body[..]));
        let items = vec![Item::Octets(b"world"), Item::NextDescriptor];
        assert_eq!(parse_body(rest).unwrap(), ("greet", items));
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
        let mut body = BodyWriter::new("greet");
        body.arg(&Arg::Bytes(vec![7; 20]));
        let body = body.finish();
        let whole = Head::new(Then::Worker, &body, 0).encode(&body);
        for end in 0..whole.len() {
            assert!(Head::parse(&whole[..end]).is_err(), "{end}");
        }
        for end in (0..body.len()).filter(|end| *end != 13) {
            assert!(parse_body(&body[..end]).is_err(), "{end}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 2, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                if let Ok((_, body)) = Head::parse(&damaged) {
                    let _ = parse_body(body);
                }
            }
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(Head::parse(&longer).is_err());
    }
}
