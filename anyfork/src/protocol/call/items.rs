//! The arguments of several calls of one function, in one request.
//! RUNS IN: caller, child
//!
//! | bytes | after the function's name |
//! |---|---|
//! | 4 | number of items |
//! | 12 each | length of the item's main part, number of its blobs, number of its descriptors: 4 each |
//! | rest | the main parts, one after the other |
//!
//! The blobs and the descriptors of all items follow each other in the frame.

use crate::protocol::Malformed;
use crate::protocol::call::Payload;
use crate::protocol::codec::Reader;

/// Maximum number of items of a request.
pub(crate) const MAX_ITEMS: usize = 4096;

/// Joins the arguments of several calls.
pub(crate) fn join(items: Vec<Payload>) -> Payload {
    let mut joined = Payload::default();
    let number = |n: usize| (n as u32).to_le_bytes();
    joined.main.extend(number(items.len()));
    for item in &items {
        joined.main.extend(number(item.main.len()));
        joined.main.extend(number(item.blobs.len()));
        joined.main.extend(number(item.fds.len()));
    }
    for item in items {
        joined.main.extend(item.main);
        joined.blobs.extend(item.blobs);
        joined.fds.extend(item.fds.into_vec());
    }
    joined
}

/// Takes the arguments of several calls apart, which begin behind `skip` bytes.
pub(crate) fn split(joined: Payload, skip: usize) -> Result<Vec<Payload>, Malformed> {
    let Payload { main, blobs, fds } = joined;
    let mut reader = Reader(&main[skip..]);
    let count = reader.u32()? as usize;
    if count == 0 || count > MAX_ITEMS {
        return Err(Malformed::Because("an impossible number of items"));
    }
    let mut lengths = Vec::new();
    for _ in 0..count {
        lengths.push([reader.u32()?, reader.u32()?, reader.u32()?].map(|it| it as usize));
    }
    let (mut rest, mut blobs, mut fds) = (reader.0, blobs.into_iter(), fds.into_vec().into_iter());
    let mut items = Vec::new();
    for [len, blob_count, fd_count] in lengths {
        let short = Malformed::Because("items end too early");
        let Some((item, more)) = rest.split_at_checked(len) else {
            return Err(short);
        };
        rest = more;
        if blobs.len() < blob_count || fds.len() < fd_count {
            return Err(short);
        }
        items.push(Payload {
            main: item.to_vec(),
            blobs: blobs.by_ref().take(blob_count).collect(),
            fds: fds.by_ref().take(fd_count).collect::<Vec<_>>().into(),
        });
    }
    match rest.is_empty() && blobs.len() == 0 && fds.len() == 0 {
        true => Ok(items),
        false => Err(Malformed::Because("items go on too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(main: &[u8], blobs: usize) -> Payload {
        Payload {
            main: main.to_vec(),
            blobs: vec![vec![7]; blobs],
            fds: Vec::new().into(),
        }
    }

    #[test]
    fn items_survive_the_way() {
        let mut joined = join(vec![item(b"a", 1), item(b"", 0), item(b"bc", 2)]);
        joined.main.splice(..0, *b"name");
        let items = split(joined, 4).unwrap();
        let seen: Vec<_> = items
            .iter()
            .map(|it| (&it.main[..], it.blobs.len()))
            .collect();
        assert_eq!(seen, [(&b"a"[..], 1), (b"", 0), (b"bc", 2)]);
    }

    #[test]
    fn cut_items_are_refused() {
        let whole = || join(vec![item(b"a", 1), item(b"bc", 0)]);
        assert!(split(whole(), 0).is_ok());
        for len in 0..whole().main.len() {
            let mut cut = whole();
            cut.main.truncate(len);
            assert!(split(cut, 0).is_err(), "{len}");
        }
        let mut more = whole();
        more.main.push(0);
        assert!(split(more, 0).is_err());
        let mut fewer = whole();
        fewer.blobs.clear();
        assert!(split(fewer, 0).is_err());
        let mut more = whole();
        more.blobs.push(Vec::new());
        assert!(split(more, 0).is_err());
    }
}
