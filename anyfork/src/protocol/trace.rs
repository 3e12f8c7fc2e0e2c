//! Frames of a worker's spans and events, on a socket of their own to its caller.
//! RUNS IN: caller, child
//!
//! Each says all of its place in the source, so one that is left out costs only itself.
//!
//! | bytes | frame |
//! |---|---|
//! | 4 | length of the rest, up to [`MAXIMUM_FRAME`] |
//! | 1 | the kind: 1 event, 2 span, 3 values for a span, 4 end of a span |
//! | 8 | number of the span: of an event, that it is in, or 0 |
//! | 8 | a span: number of the span that it is in, or 0 |
//! | 8 + n | an event, a span: the site |
//! | | an event, a span, values: the values |
//!
//! A site is 1 byte each for the level, from 1 for errors to 5, and for the presence of file,
//! line and module; the line, 4 bytes; then name, target, file, module and the names of the
//! fields, 8 + n bytes each. A value is the number of its field, 1 byte, its type, 1 byte, and
//! 8 bytes of a number, 1 of a `bool`, or 8 + n of a text.

use crate::protocol::Malformed;
use crate::protocol::codec::{Reader, put_counted};

/// Maximum length of a frame.
pub(crate) const MAXIMUM_FRAME: usize = 64 * 1024;

/// Maximum number of bytes of the values of a frame. Texts beyond it are cut.
const MAXIMUM_VALUES: usize = 16 * 1024;

/// Maximum number of bytes of a site.
const MAXIMUM_SITE: usize = 16 * 1024;

/// Maximum number of fields of a site.
pub(crate) const MAXIMUM_FIELDS: usize = 32;

/// What a worker's subscriber was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Report<'a> {
    Event {
        parent: u64,
        site: &'a [u8],
        values: Vec<(u8, Value)>,
    },
    Span {
        id: u64,
        parent: u64,
        site: &'a [u8],
        values: Vec<(u8, Value)>,
    },
    Record {
        id: u64,
        values: Vec<(u8, Value)>,
    },
    Close {
        id: u64,
    },
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    I64(i64),
    U64(u64),
    F64(f64),
    Bool(bool),
    Str(String),
    /// What `Debug` or `Display` has written.
    Text(String),
}

/// The place in the source of a span or an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site<'a> {
    /// From 1 for errors to 5.
    pub(crate) level: u8,
    pub(crate) name: &'a str,
    pub(crate) target: &'a str,
    pub(crate) file: Option<&'a str>,
    pub(crate) line: Option<u32>,
    pub(crate) module: Option<&'a str>,
    pub(crate) fields: Vec<&'a str>,
}

impl Site<'_> {
    /// `None`: it is too long.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut out = vec![self.level];
        let present = [
            self.file.is_some(),
            self.line.is_some(),
            self.module.is_some(),
        ];
        out.extend(present.map(u8::from));
        out.extend(self.line.unwrap_or(0).to_le_bytes());
        let texts = [Some(self.name), Some(self.target), self.file, self.module];
        for text in texts {
            put_counted(&mut out, text.unwrap_or("").as_bytes());
        }
        for field in &self.fields {
            put_counted(&mut out, field.as_bytes());
        }
        (out.len() <= MAXIMUM_SITE && self.fields.len() <= MAXIMUM_FIELDS).then_some(out)
    }

    pub(crate) fn parse(site: &[u8]) -> Result<Site<'_>, Malformed> {
        let mut reader = Reader(site);
        let level = reader.u8()?;
        if !(1..=5).contains(&level) {
            return Err(Malformed::Because("a level that is none"));
        }
        let [file, line, module] = reader.array()?.map(|it: u8| it != 0);
        let number = reader.u32()?;
        let mut text = || text(&mut reader);
        let (name, target) = (text()?, text()?);
        let (its_file, its_module) = (text()?, text()?);
        let mut fields = Vec::new();
        while !reader.is_empty() {
            fields.push(self::text(&mut reader)?);
        }
        if fields.len() > MAXIMUM_FIELDS {
            return Err(Malformed::Because("too many fields"));
        }
        Ok(Site {
            level,
            name,
            target,
            file: file.then_some(its_file),
            line: line.then_some(number),
            module: module.then_some(its_module),
            fields,
        })
    }
}

impl Report<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        let (kind, numbers, site, values): (u8, &[u64], _, _) = match self {
            Report::Event {
                parent,
                site,
                values,
            } => (1, &[*parent], Some(site), &values[..]),
            Report::Span {
                id,
                parent,
                site,
                values,
            } => (2, &[*id, *parent], Some(site), &values[..]),
            Report::Record { id, values } => (3, &[*id], None, &values[..]),
            Report::Close { id } => (4, &[*id], None, &[][..]),
        };
        out.push(kind);
        for number in numbers {
            out.extend(number.to_le_bytes());
        }
        if let Some(site) = site {
            put_counted(&mut out, site);
        }
        let mut left = MAXIMUM_VALUES;
        for (field, value) in values {
            out.push(*field);
            value.encode(&mut out, &mut left);
        }
        let len = out.len() as u32 - 4;
        out[..4].copy_from_slice(&len.to_le_bytes());
        out
    }

    /// Parses what follows the length.
    pub(crate) fn parse(frame: &[u8]) -> Result<Report<'_>, Malformed> {
        let mut reader = Reader(frame);
        let kind = reader.u8()?;
        let id = reader.u64()?;
        Ok(match kind {
            1 => Report::Event {
                parent: id,
                site: reader.counted()?,
                values: Value::parse_all(reader)?,
            },
            2 => Report::Span {
                id,
                parent: reader.u64()?,
                site: reader.counted()?,
                values: Value::parse_all(reader)?,
            },
            3 => Report::Record {
                id,
                values: Value::parse_all(reader)?,
            },
            4 if reader.is_empty() => Report::Close { id },
            _ => return Err(Malformed::Because("a report of an unknown kind")),
        })
    }
}

impl Value {
    /// Texts take no more than `left` bytes.
    fn encode(&self, out: &mut Vec<u8>, left: &mut usize) {
        match self {
            Value::I64(it) => {
                out.push(0);
                out.extend(it.to_le_bytes());
            }
            Value::U64(it) => {
                out.push(1);
                out.extend(it.to_le_bytes());
            }
            Value::F64(it) => {
                out.push(2);
                out.extend(it.to_le_bytes());
            }
            Value::Bool(it) => out.extend([3, u8::from(*it)]),
            Value::Str(it) => put_text(out, 4, it, left),
            Value::Text(it) => put_text(out, 5, it, left),
        }
    }

    fn parse_all(mut reader: Reader<'_>) -> Result<Vec<(u8, Value)>, Malformed> {
        let mut values = Vec::new();
        while !reader.is_empty() {
            let (field, kind) = (reader.u8()?, reader.u8()?);
            let value = match kind {
                0 => Value::I64(i64::from_le_bytes(reader.array()?)),
                1 => Value::U64(reader.u64()?),
                2 => Value::F64(f64::from_le_bytes(reader.array()?)),
                3 => Value::Bool(reader.u8()? != 0),
                4 => Value::Str(text(&mut reader)?.to_owned()),
                5 => Value::Text(text(&mut reader)?.to_owned()),
                _ => return Err(Malformed::Because("a value of an unknown type")),
            };
            if values.len() == MAXIMUM_FIELDS {
                return Err(Malformed::Because("too many values"));
            }
            values.push((field, value));
        }
        Ok(values)
    }
}

/// Appends a text, or its beginning and how much is left out.
fn put_text(out: &mut Vec<u8>, kind: u8, text: &str, left: &mut usize) {
    out.push(kind);
    if text.len() <= *left {
        *left -= text.len();
        return put_counted(out, text.as_bytes());
    }
    let end = text.floor_char_boundary(*left);
    *left = 0;
    let cut = format!("{}… ({} bytes left out)", &text[..end], text.len() - end);
    put_counted(out, cut.as_bytes());
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let text = str::from_utf8(reader.counted()?);
    text.map_err(|_| Malformed::Because("a text that is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site<'static> {
        Site {
            level: 3,
            name: "event src/main.rs:7",
            target: "app::jobs",
            file: Some("src/main.rs"),
            line: None,
            module: Some("app::jobs"),
            fields: vec!["message", "width"],
        }
    }

    fn values() -> Vec<(u8, Value)> {
        vec![
            (0, Value::Text("héllo".to_owned())),
            (1, Value::U64(u64::MAX)),
            (0, Value::I64(-1)),
            (1, Value::F64(0.5)),
            (0, Value::Bool(true)),
            (1, Value::Str(String::new())),
        ]
    }

    fn reports(site: &[u8]) -> [Report<'_>; 4] {
        [
            Report::Event {
                parent: 0,
                site,
                values: values(),
            },
            Report::Span {
                id: 7,
                parent: 6,
                site,
                values: Vec::new(),
            },
            Report::Record {
                id: 7,
                values: values(),
            },
            Report::Close { id: 7 },
        ]
    }

    #[test]
    fn reports_come_back() {
        let site_bytes = site().encode().unwrap();
        assert_eq!(Site::parse(&site_bytes).unwrap(), site());
        for report in reports(&site_bytes) {
            let frame = report.encode();
            assert_eq!(frame[..4], (frame.len() as u32 - 4).to_le_bytes());
            assert_eq!(Report::parse(&frame[4..]).unwrap(), report);
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_table() {
        let close = Report::Close { id: 0x0102 }.encode();
        assert_eq!(close, [9, 0, 0, 0, 4, 2, 1, 0, 0, 0, 0, 0, 0]);
        let values = vec![(3, Value::Bool(true))];
        let record = Report::Record { id: 1, values }.encode();
        assert_eq!(record, [12, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 3, 3, 1]);
    }

    #[test]
    fn long_texts_are_cut_and_say_so() {
        let text = "é".repeat(MAXIMUM_VALUES);
        let values = vec![(0, Value::Str(text.clone())), (1, Value::Text(text))];
        let frame = Report::Record { id: 1, values }.encode();
        assert!(frame.len() < MAXIMUM_VALUES + 200);
        let Ok(Report::Record { values, .. }) = Report::parse(&frame[4..]) else {
            panic!("a record");
        };
        let Value::Str(first) = &values[0].1 else {
            panic!("a str");
        };
        assert!(first.ends_with("é… (16384 bytes left out)"));
        assert_eq!(
            values[1].1,
            Value::Text("… (32768 bytes left out)".to_owned())
        );
    }

    #[test]
    fn any_bytes_are_refused_or_parsed() {
        let site = site().encode().unwrap();
        for report in reports(&site) {
            let frame = report.encode();
            for at in 4..frame.len() {
                let _ = Report::parse(&frame[4..at]);
                for byte in [0, 1, 0x7f, 0xff] {
                    let mut changed = frame.clone();
                    changed[at] = byte;
                    if let Ok(Report::Event { site, .. }) = Report::parse(&changed[4..]) {
                        let _ = Site::parse(site);
                    }
                }
            }
        }
    }
}
