//! A request for a program as its template reads it, without copying anything.
//! RUNS IN: template
//!
//! A program that needs no copy of its template is laid out by the template itself
//! ([`template::programs`](crate::template::programs)), from the bytes of the request: no
//! text of it gets into the template's heap, of which later children have a copy. A
//! descriptor is its index among those that came.

use crate::protocol::codec::Reader;
use crate::protocol::setting::{attributes, numbers};
use crate::spec::Attributes;

/// A program and what is set for it.
#[derive(Debug)]
pub(crate) struct DirectProgram<'a> {
    /// In the order in which they are applied.
    pub(crate) settings: Vec<DirectSetting<'a>>,
    pub(crate) variables: Vec<DirectVariables<'a>>,
    pub(crate) collected: Vec<DirectArg<'a>>,
    pub(crate) path: &'a [u8],
    pub(crate) arg0: &'a [u8],
    pub(crate) args: Vec<&'a [u8]>,
    /// Descriptors, and the numbers at which the program finds them.
    pub(crate) fds: Vec<(usize, i32)>,
}

#[derive(Debug)]
pub(crate) enum DirectSetting<'a> {
    Stream {
        number: u8,
        to: Option<usize>,
    },
    Attributes {
        attributes: Attributes,
        prepared: bool,
    },
    Session,
    /// The terminal's index.
    Terminal(usize),
    ProcessGroup(i32),
    Umask(u32),
    IgnoreSignal(i32),
    Limit {
        resource: u32,
        soft: u64,
        hard: u64,
    },
    Nice(i32),
    Affinity(Vec<u32>),
    Root(&'a [u8]),
    NoNewPrivs,
    Directory(&'a [u8]),
}

/// A change of the environment.
#[derive(Debug)]
pub(crate) enum DirectVariables<'a> {
    Inherit { texts: &'a [u8], prepared: bool },
    Clear,
    Set(&'a [u8], Option<&'a [u8]>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum DirectArg<'a> {
    Bytes(&'a [u8]),
    Fd(usize),
}

impl<'a> DirectProgram<'a> {
    /// Parses the body of a request with so many descriptors. `None`: it asks for more than
    /// a template does itself, or is malformed, which the child of a fork says.
    ///
    /// Users and groups are among that: another user might stop the process, or look into
    /// the memory that it shares with its template.
    pub(crate) fn parse(bytes: &'a [u8], fd_count: usize) -> Option<DirectProgram<'a>> {
        let mut reader = Reader(bytes);
        let mut fds = 0..fd_count;
        let mut program = DirectProgram {
            settings: Vec::new(),
            variables: Vec::new(),
            collected: Vec::new(),
            path: &[],
            arg0: &[],
            args: Vec::new(),
            fds: Vec::new(),
        };
        reader.counted().ok()?;
        for _ in 0..reader.u32().ok()? {
            program.setting(&mut reader, &mut fds)?;
        }
        program.settings.sort_by_key(DirectSetting::apply_order);
        loop {
            match reader.u8().ok()? {
                0 => {
                    let bytes = reader.counted().ok()?;
                    program.collected.push(DirectArg::Bytes(bytes));
                }
                1 => program.collected.push(DirectArg::Fd(fds.next()?)),
                4 => break,
                _ => return None,
            }
        }
        program.path = reader.counted().ok()?;
        program.arg0 = reader.counted().ok()?;
        for _ in 0..reader.u32().ok()? {
            program.args.push(reader.counted().ok()?);
        }
        for _ in 0..reader.u32().ok()? {
            let number = reader.i32().ok()?;
            program.fds.push((fds.next()?, number));
        }
        (reader.is_empty() && fds.is_empty()).then_some(program)
    }

    fn setting(
        &mut self,
        reader: &mut Reader<'a>,
        fds: &mut impl Iterator<Item = usize>,
    ) -> Option<()> {
        self.settings.push(match reader.u8().ok()? {
            1 => DirectSetting::Stream {
                number: reader.u8().ok().filter(|number| *number <= 2)?,
                to: match reader.u8().ok()? {
                    0 => None,
                    _ => Some(fds.next()?),
                },
            },
            2 => DirectSetting::ProcessGroup(reader.i32().ok()?),
            3 => DirectSetting::Limit {
                resource: reader.u32().ok()?,
                soft: reader.u64().ok()?,
                hard: reader.u64().ok()?,
            },
            4 => DirectSetting::Nice(reader.i32().ok()?),
            8 => DirectSetting::Directory(reader.counted().ok()?),
            9 => {
                self.variables.push(DirectVariables::Clear);
                return Some(());
            }
            10 => {
                let (name, value) = (reader.counted().ok()?, reader.counted().ok()?);
                self.variables.push(DirectVariables::Set(name, Some(value)));
                return Some(());
            }
            11 => {
                let name = reader.counted().ok()?;
                self.variables.push(DirectVariables::Set(name, None));
                return Some(());
            }
            // A program brings its own title.
            12 => {
                reader.counted().ok()?;
                return Some(());
            }
            15 => {
                let prepared = reader.u8().ok()? != 0;
                let texts = reader.counted().ok()?;
                if !matches!(texts.last(), None | Some(0)) {
                    return None;
                }
                let inherit = DirectVariables::Inherit { texts, prepared };
                self.variables.push(inherit);
                return Some(());
            }
            17 => DirectSetting::Attributes {
                prepared: reader.u8().ok()? != 0,
                attributes: attributes(reader).ok()?,
            },
            18 => DirectSetting::Umask(reader.u32().ok()?),
            19 => DirectSetting::Session,
            20 => DirectSetting::Terminal(fds.next()?),
            21 => DirectSetting::Root(reader.counted().ok()?),
            22 => DirectSetting::NoNewPrivs,
            23 => DirectSetting::IgnoreSignal(reader.i32().ok()?),
            26 => DirectSetting::Affinity(numbers(reader).ok()?),
            _ => return None,
        });
        Some(())
    }
}

impl DirectSetting<'_> {
    /// As [`Setting::apply_order`](crate::spec::Setting::apply_order).
    fn apply_order(&self) -> u8 {
        match self {
            DirectSetting::Stream { .. } | DirectSetting::Attributes { .. } => 0,
            DirectSetting::Session => 2,
            DirectSetting::Terminal(_) => 3,
            DirectSetting::ProcessGroup(_) => 4,
            DirectSetting::Umask(_) | DirectSetting::IgnoreSignal(_) => 5,
            DirectSetting::Limit { .. } => 6,
            DirectSetting::Nice(_) => 7,
            DirectSetting::Affinity(_) => 8,
            DirectSetting::Root(_) => 10,
            DirectSetting::NoNewPrivs => 14,
            DirectSetting::Directory(_) => 15,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::args::value::Arg;
    use crate::protocol::body::Body;
    use crate::spec::name::FunctionName;
    use crate::spec::texts::Texts;
    use crate::spec::{Inherit, Program, Setting, Step};

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    fn encoded(settings: Vec<Setting>, steps: Vec<Step>) -> (Vec<u8>, usize) {
        let program = Program {
            path: "cat".into(),
            arg0: "c".into(),
            args: vec!["x".into(), "".into()],
            fds: vec![(null(), 7)],
        };
        let (bytes, fds) = Body {
            name: FunctionName::default(),
            settings,
            steps,
            program: Some(program),
        }
        .encode();
        (bytes, fds.len())
    }

    #[test]
    fn a_program_is_read_as_it_was_encoded() {
        let texts = Texts::from_bytes(b"A=b\0").unwrap();
        let (bytes, fds) = encoded(
            vec![
                Setting::Directory("/x".into()),
                Setting::Env("A".into(), None),
                Setting::Inherit {
                    what: Inherit::Attributes(Attributes::default()),
                    prepared: true,
                },
                Setting::Stream {
                    number: 1,
                    to: Some(null()),
                },
                Setting::EnvClear,
                Setting::Title("t".into()),
                Setting::Limit {
                    resource: 7,
                    soft: 1,
                    hard: 2,
                },
                Setting::Nice(1),
                Setting::ProcessGroup(0),
                Setting::Env("B".into(), Some("c".into())),
                Setting::Inherit {
                    what: Inherit::Environment(texts),
                    prepared: false,
                },
            ],
            vec![
                Step::Arg(Arg::Bytes(b"y".to_vec())),
                Step::Arg(Arg::Fd(null())),
            ],
        );
        assert_eq!(fds, 3);
        let program = DirectProgram::parse(&bytes, fds).unwrap();
        assert_eq!(program.path, b"cat");
        assert_eq!(program.arg0, b"c");
        assert_eq!(program.args, [&b"x"[..], b""]);
        assert_eq!(program.fds, [(2, 7)]);
        assert!(matches!(
            program.collected[..],
            [DirectArg::Bytes(b"y"), DirectArg::Fd(1)]
        ));
        assert!(matches!(
            program.settings[..],
            [
                DirectSetting::Attributes { prepared: true, .. },
                DirectSetting::Stream {
                    number: 1,
                    to: Some(0)
                },
                DirectSetting::ProcessGroup(0),
                DirectSetting::Limit {
                    resource: 7,
                    soft: 1,
                    hard: 2
                },
                DirectSetting::Nice(1),
                DirectSetting::Directory(b"/x"),
            ]
        ));
        assert!(matches!(
            program.variables[..],
            [
                DirectVariables::Set(b"A", None),
                DirectVariables::Clear,
                DirectVariables::Set(b"B", Some(b"c")),
                DirectVariables::Inherit {
                    texts: b"A=b\0",
                    prepared: false
                },
            ]
        ));
        for end in 0..bytes.len() {
            assert!(DirectProgram::parse(&bytes[..end], fds).is_none(), "{end}");
        }
        for others in [0, 2, 4] {
            assert!(DirectProgram::parse(&bytes, others).is_none());
        }
    }

    /// The kernel takes some of these only in this order.
    #[test]
    fn settings_are_applied_in_the_order_of_a_fork() {
        let settings = || {
            vec![
                Setting::Directory("/x".into()),
                Setting::NoNewPrivs,
                Setting::Root("/y".into()),
                Setting::Affinity(vec![1]),
                Setting::Nice(1),
                Setting::Limit {
                    resource: 7,
                    soft: 1,
                    hard: 2,
                },
                Setting::IgnoreSignal(2),
                Setting::Umask(7),
                Setting::ProcessGroup(0),
                Setting::Terminal(null()),
                Setting::Session,
                Setting::Stream {
                    number: 1,
                    to: None,
                },
            ]
        };
        let mut sorted = settings();
        sorted.sort_by_key(Setting::apply_order);
        let orders: Vec<_> = sorted.iter().map(Setting::apply_order).collect();
        let (bytes, fds) = encoded(settings(), Vec::new());
        let program = DirectProgram::parse(&bytes, fds).unwrap();
        let direct = program.settings.iter().map(DirectSetting::apply_order);
        assert_eq!(direct.collect::<Vec<_>>(), orders);
        assert!(matches!(program.settings[2], DirectSetting::Terminal(0)));
    }

    #[test]
    fn what_needs_a_process_of_its_own_is_left_to_one() {
        for setting in [
            Setting::User(1),
            Setting::Group(1),
            Setting::Groups(vec![1]),
            Setting::Spares(1),
            // The kernel would change the score of all who share the memory; and a cgroup
            // may be frozen, or have no memory left.
            Setting::OomScore(1),
            Setting::Cgroup("/x".into()),
        ] {
            let (bytes, fds) = encoded(vec![setting], Vec::new());
            assert!(DirectProgram::parse(&bytes, fds).is_none());
        }
        for step in [
            Step::Require("/p.so".into()),
            Step::Init {
                name: "load".into(),
                args: crate::args::Args::new(),
            },
        ] {
            let (bytes, fds) = encoded(Vec::new(), vec![step]);
            assert!(DirectProgram::parse(&bytes, fds).is_none());
        }
    }
}
