//! A worker that answers what it was not asked is killed, and costs what it had entered.

use std::io::Write;
use std::os::unix::net::UnixStream;

use anyfork::{ErrorKind, Pool};
use anyfork_tests::hostile::reply_socket;

use crate::{builder, end, failed, held, served, whoami_async};

/// A frame of a worker's without a payload.
fn frame(kind: u8, number: u64) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[..2].copy_from_slice(&[kind, 1]);
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes
}

const RETURNED: u8 = 16;
const CANCELLED: u8 = 22;

/// Sends frames in place of the library.
#[anyfork::call]
async fn babble(bytes: Vec<u8>) -> u32 {
    let mut socket: UnixStream = reply_socket();
    socket.write_all(&bytes).expect("the caller reads");
    std::future::pending().await
}

fn pool() -> Pool {
    builder().max(1).concurrency(3).load(4).build().unwrap()
}

/// What becomes of the babbler, of one beside it that was entered, and of one behind them.
fn after(bytes: &[u8]) -> [ErrorKind; 2] {
    let pool = pool();
    let (other, _told) = held(&pool);
    let (another, _told) = held(&pool);
    let pid = other.pid().unwrap();
    let babbling = babble::call(&pool, bytes.to_vec());
    let behind = whoami_async::call(&pool);
    assert_ne!(served(behind), pid);
    let kinds = [failed(other), failed(babbling)].map(|it| {
        assert!(!it.never_entered(), "{it}");
        it.kind()
    });
    assert_eq!(failed(another).kind(), ErrorKind::Died);
    end(pool);
    kinds
}

#[test]
fn an_answer_for_a_call_that_it_does_not_have() {
    use ErrorKind::{Died, Protocol};
    // The first of its calls tells of it, if it is nobody's.
    assert_eq!(after(&frame(RETURNED, 4711)), [Protocol, Died]);
    assert_eq!(after(&frame(CANCELLED, 4711)), [Protocol, Died]);
    assert_eq!(
        after(b"HTTP/1.1 400 Bad Request, and then 48 bytes more or less"),
        [Protocol, Died]
    );
    // The third one has the number 3.
    assert_eq!(after(&frame(CANCELLED, 3)), [Died, Protocol]);
    let mut with_payload = frame(CANCELLED, 3);
    with_payload[16] = 1;
    assert_eq!(after(&with_payload), [Protocol, Died]);
}

/// The first one counts.
#[test]
fn more_than_an_answer() {
    for more in [frame(RETURNED, 2), [0xff; 48]] {
        let pool = pool();
        let (other, _told) = held(&pool);
        // The unit encodes as nothing, a number does not: the result is told, and does not
        // decode.
        let babbling = babble::call(&pool, [frame(RETURNED, 2), more].concat());
        let error = failed(babbling);
        assert_eq!(error.kind(), ErrorKind::BadResult, "{error}");
        assert_eq!(failed(other).kind(), ErrorKind::Protocol);
        served(whoami_async::call(&pool));
        end(pool);
    }
}
