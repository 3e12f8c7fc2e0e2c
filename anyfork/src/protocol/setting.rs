//! Settings in the body of a request.
//! RUNS IN: caller, child
//!
//! The table is in [`protocol`](crate::protocol).

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use crate::protocol::codec::{Reader, put_counted};
use crate::protocol::{MISSING, Malformed};
use crate::spec::texts::Texts;
use crate::spec::{Attributes, Inherit, Setting};

/// Appends the bytes of a setting, and its descriptor.
pub(crate) fn encode(out: &mut Vec<u8>, fds: &mut Vec<OwnedFd>, setting: Setting) {
    match setting {
        Setting::Stream { number, to } => {
            out.extend([1, number, u8::from(to.is_some())]);
            fds.extend(to);
        }
        Setting::ProcessGroup(group) => put_number(out, 2, group.cast_unsigned()),
        Setting::Limit {
            resource,
            soft,
            hard,
        } => {
            put_number(out, 3, resource);
            out.extend(soft.to_le_bytes());
            out.extend(hard.to_le_bytes());
        }
        Setting::Nice(step) => put_number(out, 4, step.cast_unsigned()),
        Setting::Groups(groups) => {
            put_number(out, 5, groups.len() as u32);
            groups.iter().for_each(|id| out.extend(id.to_le_bytes()));
        }
        Setting::Group(id) => put_number(out, 6, id),
        Setting::User(id) => put_number(out, 7, id),
        Setting::Directory(path) => put_text(out, 8, path.as_os_str()),
        Setting::EnvClear => out.push(9),
        Setting::Env(name, Some(value)) => {
            put_text(out, 10, &name);
            put_counted(out, value.as_bytes());
        }
        Setting::Env(name, None) => put_text(out, 11, &name),
        Setting::Title(title) => put_text(out, 12, OsStr::new(&title)),
        Setting::Spares(count) => put_number(out, 16, count),
        Setting::Umask(mask) => put_number(out, 18, mask),
        Setting::Session => out.push(19),
        Setting::Terminal(terminal) => {
            out.push(20);
            fds.push(terminal);
        }
        Setting::Root(path) => put_text(out, 21, path.as_os_str()),
        Setting::NoNewPrivs => out.push(22),
        Setting::IgnoreSignal(signal) => put_number(out, 23, signal.cast_unsigned()),
        Setting::Cgroup(path) => put_text(out, 24, path.as_os_str()),
        Setting::OomScore(score) => put_number(out, 25, score.cast_unsigned()),
        Setting::Affinity(numbers) => {
            put_number(out, 26, numbers.len() as u32);
            numbers.iter().for_each(|it| out.extend(it.to_le_bytes()));
        }
        Setting::Inherit { what, prepared } => {
            let prepared = u8::from(prepared);
            match what {
                Inherit::Attributes(attributes) => {
                    out.extend([17, prepared]);
                    put_attributes(out, &attributes);
                }
                Inherit::Environment(variables) => {
                    out.extend([15, prepared]);
                    put_counted(out, variables.as_bytes());
                }
            }
        }
    }
}

fn put_attributes(out: &mut Vec<u8>, attributes: &Attributes) {
    let Attributes {
        umask,
        ignored_signals,
        nice,
        affinity,
        oom_score_adj,
        limits,
    } = attributes;
    put_optional(out, umask.map(u64::from));
    put_optional(out, *ignored_signals);
    put_optional(out, nice.map(|nice| nice.cast_unsigned().into()));
    put_optional(out, oom_score_adj.map(|it| it.cast_unsigned().into()));
    put_counted(out, affinity);
    out.extend((limits.len() as u32).to_le_bytes());
    for (soft, hard) in limits {
        out.extend(soft.to_le_bytes());
        out.extend(hard.to_le_bytes());
    }
}

fn put_optional(out: &mut Vec<u8>, number: Option<u64>) {
    out.push(number.is_some().into());
    out.extend(number.unwrap_or_default().to_le_bytes());
}

pub(in crate::protocol) fn attributes(reader: &mut Reader<'_>) -> Result<Attributes, Malformed> {
    let umask = optional(reader)?.map(|number| number as u32);
    let ignored_signals = optional(reader)?;
    let nice = optional(reader)?.map(|number| number as i32);
    let oom_score_adj = optional(reader)?.map(|number| number as i32);
    let affinity = reader.counted()?.to_vec();
    let count = reader.u32()?;
    let limits = (0..count).map(|_| Ok((reader.u64()?, reader.u64()?)));
    Ok(Attributes {
        umask,
        ignored_signals,
        nice,
        affinity,
        oom_score_adj,
        limits: limits.collect::<Result<_, Malformed>>()?,
    })
}

fn optional(reader: &mut Reader<'_>) -> Result<Option<u64>, Malformed> {
    let is_there = reader.u8()? != 0;
    let number = reader.u64()?;
    Ok(is_there.then_some(number))
}

fn put_number(out: &mut Vec<u8>, tag: u8, number: u32) {
    out.push(tag);
    out.extend(number.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, tag: u8, text: &OsStr) {
    out.push(tag);
    put_counted(out, text.as_bytes());
}

/// Parses a setting off the front.
pub(crate) fn parse(
    reader: &mut Reader<'_>,
    fds: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Setting, Malformed> {
    Ok(match reader.u8()? {
        1 => Setting::Stream {
            number: stream(reader)?,
            to: match reader.u8()? {
                0 => None,
                _ => Some(fds.next().ok_or(MISSING)?),
            },
        },
        2 => Setting::ProcessGroup(reader.i32()?),
        3 => Setting::Limit {
            resource: reader.u32()?,
            soft: reader.u64()?,
            hard: reader.u64()?,
        },
        4 => Setting::Nice(reader.i32()?),
        5 => Setting::Groups(numbers(reader)?),
        6 => Setting::Group(reader.u32()?),
        7 => Setting::User(reader.u32()?),
        8 => Setting::Directory(text(reader)?.into()),
        9 => Setting::EnvClear,
        10 => Setting::Env(text(reader)?, Some(text(reader)?)),
        11 => Setting::Env(text(reader)?, None),
        12 => Setting::Title(String::from_utf8_lossy(reader.counted()?).into_owned()),
        15 => {
            let prepared = reader.u8()? != 0;
            let variables = Texts::from_bytes(reader.counted()?)
                .ok_or(Malformed::Because("the end of a variable is missing"))?;
            let what = Inherit::Environment(variables);
            Setting::Inherit { what, prepared }
        }
        16 => Setting::Spares(reader.u32()?),
        17 => Setting::Inherit {
            prepared: reader.u8()? != 0,
            what: Inherit::Attributes(attributes(reader)?),
        },
        18 => Setting::Umask(reader.u32()?),
        19 => Setting::Session,
        20 => Setting::Terminal(fds.next().ok_or(MISSING)?),
        21 => Setting::Root(text(reader)?.into()),
        22 => Setting::NoNewPrivs,
        23 => Setting::IgnoreSignal(reader.i32()?),
        24 => Setting::Cgroup(text(reader)?.into()),
        25 => Setting::OomScore(reader.i32()?),
        26 => Setting::Affinity(numbers(reader)?),
        _ => return Err(Malformed::Because("it has a setting of an unknown kind")),
    })
}

/// Numbers, with how many there are before them.
pub(in crate::protocol) fn numbers(reader: &mut Reader<'_>) -> Result<Vec<u32>, Malformed> {
    let count = reader.u32()?;
    (0..count).map(|_| reader.u32()).collect()
}

fn stream(reader: &mut Reader<'_>) -> Result<u8, Malformed> {
    match reader.u8()? {
        number @ 0..=2 => Ok(number),
        _ => Err(Malformed::Because("it sets a stream that is none")),
    }
}

fn text(reader: &mut Reader<'_>) -> Result<OsString, Malformed> {
    Ok(OsStr::from_bytes(reader.counted()?).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `protocol`'s documentation, as bytes.
    #[test]
    fn golden_settings() {
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let inherit = |what, prepared| Setting::Inherit { what, prepared };
        let env = |value: Option<&str>| Setting::Env("A".into(), value.map(Into::into));
        for (setting, golden) in [
            (
                Setting::Stream {
                    number: 1,
                    to: None,
                },
                &b"\x01\x01\0"[..],
            ),
            (
                Setting::Stream {
                    number: 2,
                    to: Some(null()),
                },
                b"\x01\x02\x01",
            ),
            (Setting::ProcessGroup(7), b"\x02\x07\0\0\0"),
            (
                Setting::Limit {
                    resource: 7,
                    soft: 1,
                    hard: 2,
                },
                b"\x03\x07\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0",
            ),
            (Setting::Nice(-1), b"\x04\xff\xff\xff\xff"),
            (
                Setting::Groups(vec![1, 2]),
                b"\x05\x02\0\0\0\x01\0\0\0\x02\0\0\0",
            ),
            (Setting::Group(1000), b"\x06\xe8\x03\0\0"),
            (Setting::User(1000), b"\x07\xe8\x03\0\0"),
            (Setting::Directory("/x".into()), b"\x08\x02\0\0\0\0\0\0\0/x"),
            (Setting::EnvClear, b"\x09"),
            (
                env(Some("b")),
                b"\x0a\x01\0\0\0\0\0\0\0A\x01\0\0\0\0\0\0\0b",
            ),
            (env(None), b"\x0b\x01\0\0\0\0\0\0\0A"),
            (Setting::Title("t".into()), b"\x0c\x01\0\0\0\0\0\0\0t"),
            (Setting::Umask(0o77), b"\x12\x3f\0\0\0"),
            (Setting::Session, b"\x13"),
            (Setting::Terminal(null()), b"\x14"),
            (Setting::Root("/x".into()), b"\x15\x02\0\0\0\0\0\0\0/x"),
            (Setting::NoNewPrivs, b"\x16"),
            (Setting::IgnoreSignal(2), b"\x17\x02\0\0\0"),
            (Setting::Cgroup("/x".into()), b"\x18\x02\0\0\0\0\0\0\0/x"),
            (Setting::OomScore(-2), b"\x19\xfe\xff\xff\xff"),
            (
                Setting::Affinity(vec![0, 3]),
                b"\x1a\x02\0\0\0\0\0\0\0\x03\0\0\0",
            ),
            (
                inherit(
                    Inherit::Attributes(Attributes {
                        umask: Some(0o22),
                        ignored_signals: None,
                        nice: Some(-1),
                        affinity: vec![3],
                        oom_score_adj: None,
                        limits: vec![(7, u64::MAX)],
                    }),
                    true,
                ),
                b"\x11\x01\x01\x12\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
                  \x01\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\
                  \x01\0\0\0\0\0\0\0\x03\x01\0\0\0\x07\0\0\0\0\0\0\0\
                  \xff\xff\xff\xff\xff\xff\xff\xff",
            ),
            (
                inherit(
                    Inherit::Environment(Texts::from_bytes(b"A=b\0").unwrap()),
                    true,
                ),
                b"\x0f\x01\x04\0\0\0\0\0\0\0A=b\0",
            ),
        ] {
            let text = format!("{setting:?}");
            let (mut out, mut fds) = (Vec::new(), Vec::new());
            encode(&mut out, &mut fds, setting);
            assert_eq!(out, golden, "{text}");
            for end in 0..golden.len() {
                let back = parse(&mut Reader(&golden[..end]), &mut std::iter::empty());
                assert!(back.is_err(), "{text}");
            }
            let mut reader = Reader(golden);
            let back = parse(&mut reader, &mut fds.into_iter()).unwrap();
            assert!(reader.is_empty());
            assert_eq!(format!("{back:?}"), text);
        }
    }

    #[test]
    fn other_bytes_are_no_setting() {
        let unended = b"\x0f\0\x03\0\0\0\0\0\0\0A=b";
        for bytes in [&b"\0"[..], b"\x01\x03\0", b"\x01\x01\x01", b"\xff", unended] {
            assert!(parse(&mut Reader(bytes), &mut std::iter::empty()).is_err());
        }
    }
}
