//! Golden bytes, and the way there and back.
//! RUNS IN: caller, child

use crate::protocol::call::*;

fn terms() -> Terms {
    Terms {
        fingerprint: 0x0102_0304_0506_0708,
        max_result: 0x40,
        keep_after_panic: true,
        is_last: false,
        at_once: 0,
        is_ahead: false,
    }
}

fn bytes(head: &Head) -> [u8; HEAD_LEN] {
    let mut out = Vec::new();
    head.encode(&mut out);
    out.try_into().unwrap()
}

#[test]
fn golden_heads() {
    let payload = Payload {
        main: b"abc".to_vec(),
        blobs: vec![vec![0; 7]],
        fds: Vec::new().into(),
    };
    let call = Head::of(Kind::Call(terms()), 9, false, 5, &payload);
    let golden = *b"\x01\x01\x01\0\0\0\0\0\x09\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\
        \x01\0\0\0\x05\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01\x40\0\0\0\0\0\0\0";
    assert_eq!(bytes(&call), golden);
    assert_eq!(Head::parse(&golden), Ok(call));

    let beside = Terms {
        at_once: 0x0102,
        is_ahead: true,
        ..terms()
    };
    let beside = Head::of(Kind::Call(beside), 9, false, 5, &payload);
    let mut golden = golden;
    (golden[2], golden[30], golden[31]) = (9, 2, 1);
    assert_eq!(bytes(&beside), golden);
    assert_eq!(Head::parse(&golden), Ok(beside));

    let cancel = Head::of(Kind::Cancel, 9, false, 0, &Payload::default());
    let mut golden = [0; HEAD_LEN];
    (golden[0], golden[1], golden[8]) = (3, 1, 9);
    assert_eq!(bytes(&cancel), golden);
    assert_eq!(Head::parse(&golden), Ok(cancel));
    golden[16] = 1;
    assert!(Head::parse(&golden).is_err(), "it carries nothing");

    let large = Head::of(Kind::TooLarge { size: 3 }, 9, true, 0, &Payload::default());
    let golden = *b"\x13\x01\x04\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
        \0\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(bytes(&large), golden);
    assert_eq!(Head::parse(&golden), Ok(large));
}

#[test]
fn every_kind_survives_the_way() {
    for kind in [
        Kind::Call(terms()),
        Kind::Items(terms()),
        Kind::Returned,
        Kind::Panicked,
        Kind::BadArgument,
        Kind::TooLarge { size: u64::MAX },
        Kind::BadResult,
        Kind::Event,
        Kind::Cancel,
        Kind::Cancelled,
    ] {
        let head = Head::of(kind, u64::MAX, false, 0, &Payload::default());
        assert_eq!(Head::parse(&bytes(&head)), Ok(head));
    }
}

#[test]
fn a_flipped_byte_is_another_head_or_none() {
    let head = Head::of(Kind::Returned, 1, false, 0, &Payload::of(vec![1]));
    let right = bytes(&head);
    for at in 0..HEAD_LEN {
        for bit in 0..8 {
            let mut wrong = right;
            wrong[at] ^= 1 << bit;
            if let Ok(other) = Head::parse(&wrong) {
                assert_ne!(other, head, "byte {at}");
                assert_eq!(bytes(&other), wrong, "byte {at}");
            }
        }
    }
}

#[test]
fn failures_survive_the_way() {
    let text = |text: &str| text.to_owned();
    let failure = Failure::new(true, text("no luck"), text("a.rs:1:2"), text(""), text("f"));
    let bytes = encode_failure(&failure);
    assert_eq!(parse_failure(&bytes), Ok(failure));
    for len in 0..bytes.len() {
        assert!(parse_failure(&bytes[..len]).is_err(), "{len}");
    }
    assert!(parse_failure(&[&bytes[..], b"x"].concat()).is_err());
}
