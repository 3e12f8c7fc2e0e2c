//! The body of a request, which the caller encodes and the child parses.
//! RUNS IN: caller, template, child
//!
//! The template reads no more of a body than a worker's name. The table is in
//! [`protocol`](crate::protocol).

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use crate::args::Args;
use crate::args::value::Arg;
use crate::protocol::codec::{Reader, put_counted};
use crate::protocol::setting;
use crate::protocol::{MISSING, Malformed};
use crate::spec::name::{FunctionName, Identity};
use crate::spec::{Program, Setting, Step};

/// The error for a body that names fewer descriptors than came with it.
const TOO_MANY: Malformed = Malformed::Because("more descriptors came than it names");

/// What the child is asked to do.
#[derive(Debug)]
pub(crate) struct Body {
    /// The worker's name; empty for a template and a program.
    pub(crate) name: FunctionName<'static>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) steps: Vec<Step>,
    /// The external program that the child becomes, if it becomes one.
    pub(crate) program: Option<Program>,
}

impl Body {
    /// The bytes, and the descriptors that travel beside them.
    pub(crate) fn encode(self) -> (Vec<u8>, Vec<OwnedFd>) {
        let (mut out, mut fds) = (Vec::new(), Vec::new());
        put_name(&mut out, &self.name);
        out.extend((self.settings.len() as u32).to_le_bytes());
        for setting in self.settings {
            setting::encode(&mut out, &mut fds, setting);
        }
        for step in self.steps {
            match step {
                Step::Arg(arg) => put_arg(&mut out, &mut fds, arg),
                Step::Init { name, args } => {
                    out.push(2);
                    put_name(&mut out, &name);
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

    /// The names of the init functions, for messages.
    pub(crate) fn inits(&self) -> String {
        let names = self.steps.iter().filter_map(|step| match step {
            Step::Init { name, .. } => Some(&name.name[..]),
            _ => None,
        });
        names.collect::<Vec<_>>().join("`, `")
    }

    /// The worker's name, if the body is fit for the fast path: it asks for no more
    /// than the worker and its arguments.
    pub(crate) fn fast_path_name(bytes: &[u8]) -> Option<FunctionName<'_>> {
        let mut reader = Reader(bytes);
        let name = take_name(&mut reader).ok()?;
        let settings = reader.u32().ok()?;
        while !reader.is_empty() {
            match reader.u8().ok()? {
                0 => drop(reader.counted().ok()?),
                1 => {}
                _ => return None,
            }
        }
        (settings == 0).then_some(name)
    }

    /// Parses a body that has a [`fast_path_name`](Body::fast_path_name), with exactly
    /// these descriptors, into the arguments.
    pub(crate) fn parse_fast_path(bytes: &[u8], fds: Vec<OwnedFd>) -> Result<Args, Malformed> {
        let (mut reader, mut fds) = (Reader(bytes), fds.into_iter());
        reader.counted()?;
        reader.u32()?;
        let mut args = Args::new();
        while !reader.is_empty() {
            let tag = reader.u8()?;
            args.extend([take_arg(tag, &mut reader, &mut fds)?]);
        }
        match fds.next() {
            None => Ok(args),
            Some(_) => Err(TOO_MANY),
        }
    }

    /// Parses a body with exactly these descriptors.
    pub(crate) fn parse(bytes: &[u8], fds: Vec<OwnedFd>) -> Result<Body, Malformed> {
        let (mut reader, mut fds) = (Reader(bytes), fds.into_iter());
        let name = take_name(&mut reader)?.into_owned();
        let count = reader.u32()?;
        let settings = (0..count).map(|_| setting::parse(&mut reader, &mut fds));
        let settings = settings.collect::<Result<_, Malformed>>()?;
        let (mut steps, mut program) = (Vec::new(), None);
        while !reader.is_empty() {
            steps.push(match reader.u8()? {
                2 => {
                    let name = take_name(&mut reader)?.into_owned();
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
            Some(_) => Err(TOO_MANY),
        }
    }
}

fn put_arg(out: &mut Vec<u8>, fds: &mut Vec<OwnedFd>, arg: Arg) {
    match arg {
        Arg::Bytes(bytes) => {
            out.push(0);
            put_counted(out, &bytes);
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
    out.extend((program.fds.len() as u32).to_le_bytes());
    for (fd, number) in program.fds {
        out.extend(number.to_le_bytes());
        fds.push(fd);
    }
}

fn take_program(
    reader: &mut Reader<'_>,
    fds: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Program, Malformed> {
    let os = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let (path, arg0) = (os(reader.counted()?), os(reader.counted()?));
    let count = reader.u32()?;
    let args = (0..count).map(|_| reader.counted().map(os));
    let args = args.collect::<Result<_, _>>()?;
    let count = reader.u32()?;
    let numbered = (0..count).map(|_| {
        let number = reader.i32()?;
        Ok((fds.next().ok_or(MISSING)?, number))
    });
    let fds = numbered.collect::<Result<_, Malformed>>()?;
    Ok(Program {
        path,
        arg0,
        args,
        fds,
    })
}

/// Appends a name, with its identity behind a NUL. A name that has a NUL in it is followed
/// by one more, so that the last NUL is always the end of the name.
fn put_name(out: &mut Vec<u8>, name: &FunctionName<'_>) {
    let FunctionName { name, identity } = name;
    match identity {
        Some(Identity(number)) => put_counted(out, format!("{name}\0{number:016x}").as_bytes()),
        None if name.contains('\0') => put_counted(out, format!("{name}\0").as_bytes()),
        None => put_counted(out, name.as_bytes()),
    }
}

fn take_name<'a>(reader: &mut Reader<'a>) -> Result<FunctionName<'a>, Malformed> {
    let text =
        str::from_utf8(reader.counted()?).map_err(|_| Malformed::Because("a name is not UTF-8"))?;
    let (name, identity) = match text.rsplit_once('\0') {
        None => (text, None),
        Some((name, "")) => (name, None),
        Some((name, digits)) => (name, Some(digits)),
    };
    let number = |digits| u64::from_str_radix(digits, 16);
    let identity = identity
        .map(number)
        .transpose()
        .map_err(|_| Malformed::Because("what follows a name is no number"))?;
    Ok(FunctionName {
        name: name.into(),
        identity: identity.map(Identity),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::request::{Head, Role};

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn golden_preparation() {
        let args = [Arg::Bytes(b"x".to_vec()), Arg::Fd(null())];
        let init = Step::Init {
            name: "load".into(),
            args: args.into_iter().collect(),
        };
        let steps = vec![init, Step::Require("/p.so".into())];
        let (bytes, fds) = Body {
            name: FunctionName::default(),
            settings: Vec::new(),
            steps,
            program: None,
        }
        .encode();
        let golden = b"\0\0\0\0\0\0\0\0\0\0\0\0\x02\x04\0\0\0\0\0\0\0load\x02\0\0\0\
            \0\x01\0\0\0\0\0\0\0x\x01\x03\x05\0\0\0\0\0\0\0/p.so";
        assert_eq!(bytes, golden);
        let body = Body::parse(&bytes, fds).unwrap();
        let [Step::Init { name, args }, Step::Require(path)] = &body.steps[..] else {
            panic!("{body:?}")
        };
        assert_eq!(
            (&name.name[..], args.len(), path.to_str()),
            ("load", 2, Some("/p.so"))
        );
    }

    #[test]
    fn the_fast_path_takes_a_name_and_arguments() {
        let body = |settings, steps| Body {
            name: "greet".into(),
            settings,
            steps,
            program: None,
        };
        let args = || {
            let args = [Arg::Bytes(b"x".to_vec()), Arg::Fd(null())];
            args.into_iter().map(Step::Arg).collect::<Vec<_>>()
        };
        let (bytes, fds) = body(Vec::new(), args()).encode();
        assert_eq!(Body::fast_path_name(&bytes), Some("greet".into()));
        let mut parsed = Body::parse_fast_path(&bytes, fds).unwrap();
        assert_eq!(parsed.len(), 2);
        assert!(matches!(parsed.next(), Some(Arg::Bytes(x)) if x == b"x"));
        assert!(Body::parse_fast_path(&bytes, Vec::new()).is_err());
        assert!(Body::parse_fast_path(&bytes, vec![null(), null()]).is_err());
        for end in 0..bytes.len() - 1 {
            let is_whole = end == 17 || end == 27;
            let name = Body::fast_path_name(&bytes[..end]);
            assert_eq!(name, is_whole.then_some("greet".into()), "{end}");
        }

        let (bytes, _) = body(vec![Setting::EnvClear], args()).encode();
        assert_eq!(Body::fast_path_name(&bytes), None);
        let mut steps = args();
        steps.push(Step::Require("/p.so".into()));
        let (bytes, _) = body(Vec::new(), steps).encode();
        assert_eq!(Body::fast_path_name(&bytes), None);
    }

    #[test]
    fn golden_identity() {
        let field = |name: FunctionName<'_>| {
            let mut out = Vec::new();
            put_name(&mut out, &name);
            let parsed = take_name(&mut Reader(&out)).unwrap();
            assert_eq!(parsed, name);
            out.split_off(8)
        };
        let identity = Some(Identity(0xab));
        let name = "greet".into();
        let named = field(FunctionName { name, identity });
        assert_eq!(named, b"greet\x0000000000000000ab");
        assert_eq!(field("greet".into()), b"greet");
        // A name that a caller has made up never counts as an identity.
        assert_eq!(field("greet\x00ab".into()), b"greet\x00ab\0");
        assert_eq!(field("\0".into()), b"\0\0");
        for wrong in [&b"x\0y"[..], b"x\0-1", b"x\x00123456789abcdef01"] {
            let mut out = Vec::new();
            put_counted(&mut out, wrong);
            assert!(take_name(&mut Reader(&out)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn golden_program() {
        let program = || Program {
            path: "cat".into(),
            arg0: "c".into(),
            args: vec!["x".into()],
            fds: vec![(null(), 7)],
        };
        let (bytes, fds) = Body {
            name: FunctionName::default(),
            settings: Vec::new(),
            steps: Vec::new(),
            program: Some(program()),
        }
        .encode();
        let golden = b"\0\0\0\0\0\0\0\0\0\0\0\0\x04\x03\0\0\0\0\0\0\0cat\
            \x01\0\0\0\0\0\0\0c\x01\0\0\0\x01\0\0\0\0\0\0\0x\x01\0\0\0\x07\0\0\0";
        assert_eq!(bytes, golden);
        let head = Head::new(Role::Program, &bytes, 1).encode(&bytes);
        assert_eq!(
            (Head::parse(&head).unwrap().0.role, head[3]),
            (Role::Program, 3)
        );
        let back = Body::parse(&bytes, fds).unwrap().program.unwrap();
        assert_eq!((back.path, back.arg0, back.args), {
            let Program {
                path, arg0, args, ..
            } = program();
            (path, arg0, args)
        });
        assert_eq!(back.fds[0].1, 7);
        let longer = [&bytes[..], &[0]].concat();
        assert!(Body::parse(&longer, vec![null()]).is_err());
        assert!(Body::parse(&bytes, Vec::new()).is_err());
    }

    #[test]
    fn descriptors_must_be_as_many_as_named() {
        let steps = || vec![Step::Arg(Arg::Fd(null()))];
        let (bytes, fds) = Body {
            name: FunctionName::default(),
            settings: Vec::new(),
            steps: steps(),
            program: None,
        }
        .encode();
        assert!(Body::parse(&bytes, Vec::new()).is_err());
        assert!(Body::parse(&bytes, fds.into_iter().chain([null()]).collect()).is_err());
    }
}
