//! A call is waited for in any way: blocking, in tokio, with any other executor, in turns;
//! by many at once, with a limit, or by nobody.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::pin::Pin;
use std::process::id;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use anyfork::{Call, ErrorKind};
use anyfork_tests::{bounded, byte_of, has_ended, new, poll_once, runtime, until};

const fn is_shared<T: Send + Sync + Unpin + 'static>() {}
const _: () = is_shared::<Call<u8>>();

/// An executor without a runtime: parks its thread.
fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut future).poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Tells its pid, waits for a byte or the end, and returns what it was given.
#[anyfork::call]
fn wait(mut to: PipeWriter, mut until: PipeReader, value: Vec<u8>) -> Vec<u8> {
    to.write_all(&id().to_ne_bytes()).unwrap();
    let _ = until.read(&mut [0]);
    to.write_all(b"!").unwrap();
    value
}

/// A call that waits, and the ends of its pipes.
struct Waiting {
    call: Call<Vec<u8>>,
    from: PipeReader,
    go: PipeWriter,
}

fn waiting(value: Vec<u8>) -> Waiting {
    let (from, to) = io::pipe().unwrap();
    let (until, go) = io::pipe().unwrap();
    let call = wait::call(new(), to, until, value);
    Waiting { call, from, go }
}

/// The pid, once the function has been entered.
fn entered(from: &mut PipeReader) -> u32 {
    let mut pid = [0; 4];
    bounded("a pid", || from.read_exact(&mut pid)).unwrap();
    u32::from_ne_bytes(pid)
}

#[test]
fn with_any_executor() {
    let Waiting { call, mut from, go } = waiting(vec![7; 1 << 20]);
    let waiter = thread::spawn(|| bounded("an await", || block_on(call)));
    let pid = entered(&mut from);
    drop(go);
    assert!(waiter.join().unwrap().unwrap() == vec![7; 1 << 20]);
    assert!(has_ended(pid));

    let Waiting {
        call,
        mut from,
        go: _go,
    } = waiting(Vec::new());
    let late = call.timeout(Duration::from_millis(30));
    let error = bounded("an await", || block_on(late)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(has_ended(entered(&mut from)));
}

#[test]
fn by_turns() {
    // Polled in a runtime, finished elsewhere.
    for finish in [|call: Call<_>| call.blocking(), |call| block_on(call)] {
        let Waiting {
            mut call,
            mut from,
            go,
        } = waiting(vec![1]);
        runtime().block_on(async {
            assert!(poll_once(Pin::new(&mut call)).is_pending());
        });
        entered(&mut from);
        drop(go);
        assert_eq!(bounded("a call", || finish(call)).unwrap(), [1]);
    }
    // Polled without one, finished in a runtime that is another for each step.
    let Waiting {
        mut call,
        mut from,
        go,
    } = waiting(vec![2]);
    assert!(poll_once(Pin::new(&mut call)).is_pending());
    entered(&mut from);
    for _ in 0..3 {
        let polled = runtime().block_on(async { poll_once(Pin::new(&mut call)) });
        assert!(polled.is_pending());
    }
    drop(go);
    assert_eq!(bounded("a call", || runtime().block_on(call)).unwrap(), [2]);
}

#[test]
fn by_looking() {
    let Waiting { call, mut from, go } = waiting(vec![3; 3 << 20]);
    assert!(!call.is_finished());
    let pid = entered(&mut from);
    assert_eq!(call.pid(), Some(pid));
    assert!(!call.is_finished());
    drop(go);
    until("the result is there", || call.is_finished());
    assert!(has_ended(pid) && call.pid() == Some(pid));
    assert!(call.blocking().unwrap() == vec![3; 3 << 20]);
    // A failure is an end, too.
    let refused = wait::call(
        new().init("no such", ()),
        io::pipe().unwrap().1,
        io::pipe().unwrap().0,
        vec![],
    );
    until("the failure is there", || refused.is_finished());
    assert_eq!((refused.pid(), refused.blocking().is_err()), (None, true));
}

#[test]
fn numbers_of_calls_differ() {
    let calls = [waiting(vec![]), waiting(vec![]), waiting(vec![])];
    let mut ids: Vec<u64> = calls.iter().map(|it| it.call.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

/// Somebody looks while a task waits: the task is not forgotten.
#[test]
fn by_looking_at_what_a_task_waits_for() {
    let Waiting {
        mut call,
        mut from,
        go,
    } = waiting(vec![4]);
    bounded("an await", || {
        runtime().block_on(async {
            assert!(
                std::future::poll_fn(|context| {
                    Poll::Ready(Pin::new(&mut call).poll(context).is_pending())
                })
                .await
            );
            entered(&mut from);
            assert!(call.pid().is_some() && !call.is_finished());
            drop(go);
            assert_eq!(call.await.unwrap(), [4]);
        });
    });
}

#[test]
fn by_many_at_once() {
    let all = bounded("calls", || {
        runtime().block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..50u8 {
                tasks.spawn(async move {
                    let Waiting { call, from, go } = waiting(vec![n; 1000]);
                    drop(go);
                    let result = call.await;
                    drop(from);
                    result
                });
            }
            tasks.join_all().await
        })
    });
    let mut all: Vec<u8> = all.into_iter().map(|it| it.unwrap()[0]).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..50));
}

#[test]
fn for_a_limited_time() {
    for awaited in [false, true] {
        let Waiting {
            call,
            mut from,
            go: _go,
        } = waiting(Vec::new());
        let call = call.timeout(Duration::from_millis(30));
        let error = match awaited {
            false => bounded("a call", || call.blocking()),
            true => bounded("a call", || runtime().block_on(call)),
        };
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        let pid = entered(&mut from);
        assert!(has_ended(pid), "gone before it is told");
        assert!(
            error
                .to_string()
                .contains(&format!("process {pid} was killed")),
            "{error}"
        );
        assert!(error.to_string().contains(wait::NAME) && !error.never_entered());
    }
}

#[test]
fn a_result_that_has_arrived_wins_over_the_deadline() {
    let Waiting { call, mut from, go } = waiting(vec![5]);
    let call = call.timeout(Duration::ZERO);
    let pid = entered(&mut from);
    drop(go);
    until("it has answered and left", || has_ended(pid));
    assert_eq!(call.blocking().unwrap(), [5]);
}

/// A process that has not come to the call.
#[anyfork::init]
fn hang() {
    loop {
        thread::park();
    }
}

#[test]
fn a_start_has_its_own_limit() {
    let (_from, to) = io::pipe().unwrap();
    let process = new()
        .init("calls_are_waited_for::hang", ())
        .timeout(Duration::from_millis(30));
    let call = wait::call(process, to, io::pipe().unwrap().0, vec![]);
    let call = call
        .queue_timeout(Duration::ZERO)
        .timeout(Duration::from_secs(600));
    let error = bounded("a call", || call.blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.never_entered());
}

/// Says that it has begun, and goes on when it may.
#[anyfork::init]
fn take_long(mut to: PipeWriter, mut until: PipeReader) {
    to.write_all(b"i").unwrap();
    let _ = until.read(&mut [0]);
}

#[test]
fn a_process_that_prepares_itself_is_not_disturbed() {
    // The second one does not go with the launch.
    for size in [0, 3 << 20] {
        let (mut begun, to) = io::pipe().unwrap();
        let (until, go_on) = io::pipe().unwrap();
        let init = "calls_are_waited_for::take_long";
        let process = new().init(init, anyfork::args![to, until]);
        let (mut from, to) = io::pipe().unwrap();
        let call = wait::call(process, to, io::pipe().unwrap().0, vec![8; size]);
        assert_eq!(byte_of(&mut begun), b'i');
        assert!(!call.is_finished() && call.pid().is_none());
        drop(go_on);
        assert!(bounded("a call", || call.blocking()).unwrap() == vec![8; size]);
        assert!(has_ended(entered(&mut from)));
    }
}

#[test]
fn by_nobody() {
    // More than a socket holds, so that somebody has to send it.
    for size in [0, 16 << 20] {
        let Waiting { call, mut from, go } = waiting(vec![6; size]);
        call.detach();
        let pid = entered(&mut from);
        assert!(!has_ended(pid));
        drop(go);
        assert_eq!(byte_of(&mut from), b'!');
        until("it is gone", || has_ended(pid));
    }
}
