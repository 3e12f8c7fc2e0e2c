//! Every frame of the protocol has its liars: each is sent early, late, twice, never, half,
//! without end, with wrong descriptors, with too many and with none. What becomes of the liar's
//! own launch or call is its business; it is over in bounded time, nobody else is taken for
//! the liar, others are served, and nothing is left.
//!
//! [`Frame`] and [`Way`] are the matrix, and [`nonsense`] has the cells that make no sense.

mod calls;
mod replies;
mod requests;

use anyfork_tests::{alone, held, new, release};

#[anyfork::early]
fn preload() {}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    // On the reply socket.
    Hello,
    Claim,
    Ready,
    Failed,
    // In the status pipe.
    Failure,
    OwnExit,
    Exit,
    // On the socket of a worker that is called.
    Call,
    Items,
    Returned,
    Panicked,
    BadArgument,
    TooLarge,
    BadResult,
    Event,
    // On the control socket of a template, from one of its owners.
    Request,
    SetSpares,
    ExitSpare,
    // On sockets of anyfork's own processes.
    Taken,
    PassedOn,
    GivenBack,
}

const REPLIES: [Frame; 4] = [Frame::Hello, Frame::Claim, Frame::Ready, Frame::Failed];
const STATUSES: [Frame; 3] = [Frame::Failure, Frame::OwnExit, Frame::Exit];
const CALLS: [Frame; 8] = [
    Frame::Call,
    Frame::Items,
    Frame::Returned,
    Frame::Panicked,
    Frame::BadArgument,
    Frame::TooLarge,
    Frame::BadResult,
    Frame::Event,
];
const REQUESTS: [Frame; 3] = [Frame::Request, Frame::SetSpares, Frame::ExitSpare];
const OWN: [Frame; 3] = [Frame::Taken, Frame::PassedOn, Frame::GivenBack];

/// How it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Before it is its turn.
    Early,
    /// After its turn.
    Late,
    Twice,
    /// Not at all.
    Never,
    /// A half, and the end.
    Half,
    /// A half, and no more.
    HalfForEver,
    /// Over and over.
    Endless,
    /// With what is not meant, and takes an hour to close.
    Wrong,
    TooMany,
    /// Without those that it needs, or names.
    None,
}

const WAYS: [Way; 10] = [
    Way::Early,
    Way::Late,
    Way::Twice,
    Way::Never,
    Way::Half,
    Way::HalfForEver,
    Way::Endless,
    Way::Wrong,
    Way::TooMany,
    Way::None,
];

/// Why a cell is not tried.
fn nonsense(frame: Frame, way: Way) -> Option<&'static str> {
    match (frame, way) {
        _ if OWN.contains(&frame) => Some(
            "spares and monitors send it, which run no code but anyfork's, and nobody else has the socket",
        ),
        _ if REPLIES.contains(&frame) && way == Way::Late => {
            Some("after the answer the socket is the worker's")
        }
        (_, Way::Wrong | Way::TooMany | Way::None) if STATUSES.contains(&frame) => {
            Some("a pipe carries no descriptors")
        }
        _ if REQUESTS.contains(&frame) && matches!(way, Way::HalfForEver | Way::Never) => {
            Some("a message comes whole, and nobody waits for one")
        }
        (_, Way::Early | Way::Late) if REQUESTS.contains(&frame) => {
            Some("an owner may send at any time")
        }
        _ => None,
    }
}

/// The cells of a part of the matrix.
fn cells(frames: &[Frame]) -> impl Iterator<Item = (Frame, Way)> {
    let all = frames
        .iter()
        .flat_map(|frame| WAYS.map(|way| (*frame, way)));
    all.filter(|(frame, way)| nonsense(*frame, *way).is_none())
}

/// Each frame is in a part that is tried, or has a reason for all of its ways.
#[test]
fn the_matrix_is_whole() {
    let parts = [&REPLIES[..], &STATUSES, &CALLS, &REQUESTS, &OWN].concat();
    // The last one of the enumeration.
    assert_eq!(parts.len(), Frame::GivenBack as usize + 1);
    assert_eq!(cells(&OWN).count(), 0);
    assert_eq!(cells(&parts).count(), 4 * 9 + 3 * 7 + 8 * 10 + 3 * 6);
}

/// Runs while a bystander works, and asserts that others are served.
fn with_bystander<T>(test: impl FnOnce() -> T) -> T {
    let _alone = alone();
    let bystander = held(new());
    let value = test();
    release(held(new()));
    release(bystander);
    value
}
