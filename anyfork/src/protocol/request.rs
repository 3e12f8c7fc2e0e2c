//! The request to a template: head and body. The table is in the parent.
//!
//! The template reads the head only; the body is the child's business, so that
//! no request can make a template grow or fail.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use super::setting;
use super::wire::{Reader, put_counted};
use super::{MAX_ATTACHED, MAX_REQUEST, MISSING, Malformed, VERSION};
use crate::args::{Arg, Args};
use crate::settings::Setting;
use crate::step::{Program, Step};

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

/// What the child is to do.
#[derive(Debug)]
pub(crate) struct Body {
    /// The worker's name; empty for others.
    pub(crate) name: String,
    pub(crate) settings: Vec<Setting>,
    pub(crate) steps: Vec<Step>,
    /// What the child becomes, if it is an external program.
    pub(crate) program: Option<Program>,
}

impl Body {
    /// The octets, and the descriptors that travel beside them.
    pub(crate) fn encode(self) -> (Vec<u8>, Vec<OwnedFd>) {
        let (mut out, mut fds) = (Vec::new(), Vec::new());
        put_counted(&mut out, self.name.as_bytes());
        out.extend((self.settings.len() as u32).to_le_bytes());
        for setting in self.settings {
            setting::put(&mut out, &mut fds, setting);
        }
        for step in self.steps {
            match step {
                Step::Arg(arg) => put_arg(&mut out, &mut fds, arg),
                Step::Init { name, args } => {
                    out.push(2);
                    put_counted(&mut out, name.as_bytes());
                    out.extend((args.len() as u32).to_le_bytes());
                    args.for_each(|arg| put_arg(&mut out, &mut fds, arg));
                }
                Step::Require(path) => {
                    out.push(3);
                    put_counted(&mut out, path.as_os_str().as_bytes());
                }
            }
        }
        if let Some(program) = self.program {
            out.push(4);
            put_program(&mut out, &mut fds, program);
        }
        (out, fds)
    }

    /// Parses the octets, to which exactly these descriptors belong.
    pub(crate) fn parse(octets: &[u8], fds: Vec<OwnedFd>) -> Result<Body, Malformed> {
        let (mut reader, mut fds) = (Reader(octets), fds.into_iter());
        let name = text(reader.counted()?)?;
        let count = reader.u32()?;
        let settings = (0..count).map(|_| setting::take(&mut reader, &mut fds));
        let settings = settings.collect::<Result<_, Malformed>>()?;
        let (mut steps, mut program) = (Vec::new(), None);
        while !reader.is_empty() {
            steps.push(match reader.u8()? {
                2 => {
                    let name = text(reader.counted()?)?;
                    let count = reader.u32()?;
                    let args = (0..count).map(|_| {
                        let tag = reader.u8()?;
                        take_arg(tag, &mut reader, &mut fds)
                    });
                    let args = args.collect::<Result<Args, Malformed>>()?;
                    Step::Init { name, args }
                }
                4 => {
                    program = Some(take_program(&mut reader, &mut fds)?);
                    break;
                }
                3 => Step::Require(OsStr::from_bytes(reader.counted()?).into()),
                tag => Step::Arg(take_arg(tag, &mut reader, &mut fds)?),
            });
        }
        if !reader.is_empty() {
            return Err(Malformed::Because("it goes on behind the program"));
        }
        match fds.next() {
            None => Ok(Body {
                name,
                settings,
                steps,
                program,
            }),
            Some(_) => Err(Malformed::Because("more descriptors came than it names")),
        }
    }
}

fn put_arg(out: &mut Vec<u8>, fds: &mut Vec<OwnedFd>, arg: Arg) {
    match arg {
        Arg::Bytes(octets) => {
            out.push(0);
            put_counted(out, &octets);
        }
        Arg::Fd(fd) => {
            out.push(1);
            fds.push(fd);
        }
    }
}

fn take_arg(
    tag: u8,
    reader: &mut Reader<'_>,
    fds: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Arg, Malformed> {
    match tag {
        0 => Ok(Arg::Bytes(reader.counted()?.to_vec())),
        1 => fds.next().map(Arg::Fd).ok_or(MISSING),
        _ => Err(Malformed::Because("it has a step of an unknown kind")),
    }
}

fn put_program(out: &mut Vec<u8>, fds: &mut Vec<OwnedFd>, program: Program) {
    put_counted(out, program.path.as_bytes());
    put_counted(out, program.arg0.as_bytes());
    out.extend((program.args.len() as u32).to_le_bytes());
    for arg in program.args {
        put_counted(out, arg.as_bytes());
    }
    out.extend((program.placed.len() as u32).to_le_bytes());
    for (fd, number) in program.placed {
        out.extend(number.to_le_bytes());
        fds.push(fd);
    }
}

fn take_program(
    reader: &mut Reader<'_>,
    fds: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Program, Malformed> {
    let os = |octets: &[u8]| OsStr::from_bytes(octets).to_owned();
    let (path, arg0) = (os(reader.counted()?), os(reader.counted()?));
    let count = reader.u32()?;
    let args = (0..count).map(|_| reader.counted().map(os));
    let args = args.collect::<Result<_, _>>()?;
    let count = reader.u32()?;
    let placed = (0..count).map(|_| {
        let number = reader.i32()?;
        Ok((fds.next().ok_or(MISSING)?, number))
    });
    Ok(Program {
        path,
        arg0,
        args,
        placed: placed.collect::<Result<_, Malformed>>()?,
    })
}

fn text(octets: &[u8]) -> Result<String, Malformed> {
    let text = str::from_utf8(octets);
    text.map(str::to_owned)
        .map_err(|_| Malformed::Because("a name is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

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
    fn golden_preparation() {
        let args = [Arg::Bytes(b"x".to_vec()), Arg::Fd(null())];
        let init = Step::Init {
            name: "load".into(),
            args: args.into_iter().collect(),
        };
        let steps = vec![init, Step::Require("/p.so".into())];
        let (octets, fds) = Body {
            name: String::new(),
            settings: Vec::new(),
            steps,
            program: None,
        }
        .encode();
        let golden = b"\0\0\0\0\0\0\0\0\0\0\0\0\x02\x04\0\0\0\0\0\0\0load\x02\0\0\0\
            \0\x01\0\0\0\0\0\0\0x\x01\x03\x05\0\0\0\0\0\0\0/p.so";
        assert_eq!(octets, golden);
        let body = Body::parse(&octets, fds).unwrap();
        let [Step::Init { name, args }, Step::Require(path)] = &body.steps[..] else {
            panic!("{body:?}")
        };
        assert_eq!(
            (&name[..], args.len(), path.to_str()),
            ("load", 2, Some("/p.so"))
        );
    }

    #[test]
    fn golden_program() {
        let program = || Program {
            path: "cat".into(),
            arg0: "c".into(),
            args: vec!["x".into()],
            placed: vec![(null(), 7)],
        };
        let (octets, fds) = Body {
            name: String::new(),
            settings: Vec::new(),
            steps: Vec::new(),
            program: Some(program()),
        }
        .encode();
        let golden = b"\0\0\0\0\0\0\0\0\0\0\0\0\x04\x03\0\0\0\0\0\0\0cat\
            \x01\0\0\0\0\0\0\0c\x01\0\0\0\x01\0\0\0\0\0\0\0x\x01\0\0\0\x07\0\0\0";
        assert_eq!(octets, golden);
        let head = Head::new(Then::Program, &octets, 1).encode(&octets);
        assert_eq!(
            (Head::parse(&head).unwrap().0.then, head[3]),
            (Then::Program, 3)
        );
        let back = Body::parse(&octets, fds).unwrap().program.unwrap();
        assert_eq!((back.path, back.arg0, back.args), {
            let Program {
                path, arg0, args, ..
            } = program();
            (path, arg0, args)
        });
        assert_eq!(back.placed[0].1, 7);
        let longer = [&octets[..], &[0]].concat();
        assert!(Body::parse(&longer, vec![null()]).is_err());
        assert!(Body::parse(&octets, Vec::new()).is_err());
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
    fn descriptors_must_be_as_many_as_named() {
        let steps = || vec![Step::Arg(Arg::Fd(null()))];
        let (octets, fds) = Body {
            name: String::new(),
            settings: Vec::new(),
            steps: steps(),
            program: None,
        }
        .encode();
        assert!(Body::parse(&octets, Vec::new()).is_err());
        assert!(Body::parse(&octets, fds.into_iter().chain([null()]).collect()).is_err());
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
