//! Tests of putting frames together.
//! RUNS IN: caller, child

use crate::protocol::Malformed;
use crate::protocol::call::incoming::{FIRST_STEP, Incoming};
use crate::protocol::call::outgoing::Outgoing;
use crate::protocol::call::{Frame, Head, Kind, MAX_FDS_AT_ONCE, Payload, Terms};

const TERMS: Terms = Terms {
    fingerprint: 7,
    max_result: 99,
    keep_after_panic: false,
    is_last: true,
    at_once: 0,
    is_ahead: false,
};

fn payload() -> Payload {
    Payload {
        main: (0..=255).collect(),
        blobs: vec![vec![1; 20_000], Vec::new(), vec![2; 5]],
        fds: Vec::new().into(),
    }
}

fn bytes(mut frame: Outgoing) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some((bytes, fds)) = frame.next() {
        assert!(fds.is_empty());
        let some = bytes.len().min(1000);
        all.extend_from_slice(&bytes[..some]);
        frame.sent(some);
    }
    all
}

/// Feeds bytes in pieces of `step`; the frames that came out.
fn feed(incoming: &mut Incoming, mut bytes: &[u8], step: usize) -> Result<Vec<Frame>, Malformed> {
    let mut frames = Vec::new();
    loop {
        while let Some(frame) = incoming.frame()? {
            frames.push(frame);
        }
        if bytes.is_empty() {
            return Ok(frames);
        }
        let room = incoming.room();
        let len = step.min(room.limit).min(bytes.len());
        assert!(len > 0);
        let (now, later) = bytes.split_at(len);
        room.bytes.extend_from_slice(now);
        bytes = later;
    }
}

#[test]
fn frames_arrive_in_pieces_of_any_length() {
    let request = bytes(Outgoing::new(
        Kind::Call(TERMS),
        3,
        false,
        "a::f",
        payload(),
    ));
    let answer = bytes(Outgoing::new(Kind::Returned, 3, true, "", payload()));
    let both = [request, answer].concat();
    for step in [1, 7, 47, 48, 49, 4096, 1 << 20] {
        let frames = feed(&mut Incoming::new(1 << 20), &both, step).unwrap();
        let [request, answer] = &frames[..] else {
            panic!("{} frames", frames.len());
        };
        assert_eq!(request.name(), Ok("a::f"));
        assert_eq!(&request.payload.main[4..], payload().main);
        assert_eq!((answer.head.number, answer.head.retires), (3, true));
        for frame in [request, answer] {
            assert_eq!(frame.payload.blobs, payload().blobs);
        }
    }
}

#[test]
fn a_frame_that_was_cut_is_none() {
    let whole = bytes(Outgoing::new(Kind::Returned, 3, false, "", payload()));
    for len in 0..whole.len() {
        let frames = feed(&mut Incoming::new(1 << 20), &whole[..len], 4096).unwrap();
        assert!(frames.is_empty(), "{len}");
    }
}

#[test]
fn a_flipped_byte_panics_nowhere() {
    let payload = || Payload {
        main: vec![1, 2, 3],
        blobs: vec![vec![9; 40]],
        fds: Vec::new().into(),
    };
    let whole = bytes(Outgoing::new(Kind::Call(TERMS), 3, false, "f", payload()));
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut wrong = whole.clone();
            wrong[at] ^= 1 << bit;
            let _ = feed(&mut Incoming::new(1 << 20), &wrong, 64);
        }
    }
}

#[test]
fn memory_grows_with_what_has_arrived() {
    let mut head = Vec::new();
    Head {
        main: 1 << 40,
        ..*Outgoing::new(Kind::Returned, 1, false, "", Payload::default()).head()
    }
    .encode(&mut head);
    let mut incoming = Incoming::new(u64::MAX);
    assert!(feed(&mut incoming, &head, 48).unwrap().is_empty());
    assert!(feed(&mut incoming, &[0; 100_000], 4096).unwrap().is_empty());
    let partial = incoming.partial.as_ref().unwrap();
    assert!(partial.main.bytes.capacity() <= 2 * FIRST_STEP);
    let too_long = feed(&mut Incoming::new(1000), &head, 48);
    assert_eq!(
        too_long.unwrap_err(),
        Malformed::Because("a frame is longer than its limit")
    );
}

#[test]
fn descriptors_go_with_the_first_bytes() {
    let (reader, writer) = std::io::pipe().unwrap();
    let fds = (0..600).map(|_| writer.try_clone().unwrap().into());
    let payload = Payload {
        fds: fds.collect::<Vec<_>>().into(),
        ..payload()
    };
    drop((reader, writer));
    let mut frame = Outgoing::new(Kind::Returned, 1, false, "", payload);
    let mut groups = Vec::new();
    let (mut incoming, mut arrived) = (Incoming::new(1 << 20), Vec::new());
    while let Some((bytes, fds)) = frame.next() {
        groups.push((bytes.len(), fds.len()));
        let room = incoming.room();
        let bytes = &bytes[..bytes.len().min(room.limit)];
        room.bytes.extend_from_slice(bytes);
        room.fds
            .extend(fds.iter().map(|fd| fd.try_clone().unwrap()));
        let len = bytes.len();
        frame.sent(len);
        arrived.extend(incoming.frame().unwrap());
    }
    assert_eq!(groups[..2], [(1, 250), (1, 250)]);
    assert_eq!(groups[2].1, 100);
    assert!(groups[3..].iter().all(|(_, fds)| *fds == 0));
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].payload.fds.len(), 600);
}

#[test]
fn descriptors_that_no_frame_names_are_refused() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let bytes = bytes(Outgoing::new(Kind::Returned, 1, false, "", payload()));
    let feed = |bytes: &[u8], fds: usize| {
        let mut incoming = Incoming::new(1 << 20);
        let room = incoming.room();
        room.bytes.extend_from_slice(bytes);
        let fds = (0..fds).map(|_| writer.try_clone().unwrap().into());
        room.fds.extend(fds);
        incoming.frame().map(|frame| frame.is_some())
    };
    let refused = Err(Malformed::Because("more descriptors came than it names"));
    // What is whole may have the beginning of the next one behind it.
    assert_eq!(feed(&bytes[..100], 0), Ok(false));
    assert_eq!(feed(&bytes[..100], 1), refused);
    assert_eq!(feed(&bytes[..1], MAX_FDS_AT_ONCE), Ok(false));
    assert_eq!(feed(&bytes[..1], MAX_FDS_AT_ONCE + 1), refused);
    // Nor are they kept for the next one.
    assert_eq!(feed(&bytes, 0), Ok(true));
    assert_eq!(feed(&bytes, 1), refused);
}

#[test]
fn descriptors_that_a_frame_names_have_come_with_it() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut bytes = bytes(Outgoing::new(Kind::Returned, 1, false, "", payload()));
    // The number of its descriptors.
    bytes[4] = 2;
    let feed = |fds: usize| {
        let mut incoming = Incoming::new(1 << 20);
        let room = incoming.room();
        room.bytes.extend_from_slice(&bytes);
        let fds = (0..fds).map(|_| writer.try_clone().unwrap().into());
        room.fds.extend(fds);
        incoming.frame().map(|frame| frame.is_some())
    };
    let refused = Err(Malformed::Because("fewer descriptors came than it names"));
    assert_eq!([0, 1, 2].map(feed), [refused.clone(), refused, Ok(true)]);
}
