//! An exchange with a program in a tokio runtime.
//! RUNS IN: caller
//!
//! Dropping the future drops the exchange, which kills the program.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::ChildStdin;

use crate::caller::command::exchange::{CHUNK, Exchange, unread, unwritten};
use crate::caller::stdio::registered::RegisteredStreams;
use crate::caller::wait;
use crate::caller::wait::readiness::passed;
use crate::error::Result;
use crate::exit::Exit;
use crate::sys::signal;

/// Maximum number of reads of a stream before other tasks have their turn.
const MAX_READS: usize = 16;

/// The input that was not written yet.
struct Input {
    pipe: ChildStdin,
    bytes: Arc<Vec<u8>>,
    written: usize,
}

/// A time, and the future that waits for it.
type Timer = (Instant, Pin<Box<dyn Future<Output = Result<()>> + Send>>);

/// Writes and reads until all is done.
pub(crate) async fn run(
    mut exchange: Exchange,
    streams: RegisteredStreams,
) -> Result<(Exit, [Vec<u8>; 2])> {
    let RegisteredStreams {
        stdin,
        mut stdout,
        mut stderr,
    } = streams;
    let bytes = exchange.terms.bounds.input.take();
    let mut input = stdin.zip(bytes).map(|(pipe, bytes)| Input {
        pipe,
        bytes,
        written: 0,
    });
    let watch = exchange.watch.clone();
    let mut exit = pin!(wait::tokio::exit(&watch));
    let mut timer: Option<Timer> = None;
    let mut buffer = vec![0; CHUNK];
    poll_fn(|context| -> Poll<Result<()>> {
        loop {
            if let Some(unwritten) = &mut input
                && poll_write(unwritten, context)?.is_ready()
            {
                input = None;
            }
            let out = poll_read(&mut exchange, 0, &mut stdout, &mut buffer, context)?;
            let err = poll_read(&mut exchange, 1, &mut stderr, &mut buffer, context)?;
            let now = Instant::now();
            if exchange.is_done(now) {
                return Poll::Ready(Ok(()));
            }
            if exchange.act(now) {
                continue;
            }
            if exchange.exit.is_none()
                && let Poll::Ready(exit) = exit.as_mut().poll(context)
            {
                exchange.exited(exit?);
                continue;
            }
            if poll_timer(&mut timer, exchange.next_look(now), context)?.is_ready() {
                continue;
            }
            if out.is_ready() || err.is_ready() {
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
    })
    .await?;
    drop(input);
    let rest = [
        stdout.as_ref().map(AsFd::as_fd),
        stderr.as_ref().map(AsFd::as_fd),
    ];
    exchange.finish(rest)
}

/// Waits for this time. Ready when it has passed; never, without one.
fn poll_timer(
    timer: &mut Option<Timer>,
    time: Option<Instant>,
    context: &mut Context<'_>,
) -> Poll<Result<()>> {
    let Some(time) = time else {
        *timer = None;
        return Poll::Pending;
    };
    let (_, passes) = match timer {
        Some(set) if set.0 == time => set,
        _ => timer.insert((time, Box::pin(passed(time)))),
    };
    let passed = ready!(passes.as_mut().poll(context));
    *timer = None;
    Poll::Ready(passed)
}

/// Writes what there is room for. Ready when there is no more, or nobody who reads it.
fn poll_write(input: &mut Input, context: &mut Context<'_>) -> Poll<Result<()>> {
    loop {
        let rest = &input.bytes[input.written..];
        if rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let pipe = Pin::new(&mut input.pipe);
        match ready!(signal::without_sigpipe(|| pipe.poll_write(context, rest))) {
            Ok(n) => input.written += n,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Poll::Ready(Ok(())),
            Err(error) => return Poll::Ready(Err(unwritten(error))),
        }
    }
}

/// Reads what there is, and closes the stream at its end. Ready if there may be more.
fn poll_read(
    exchange: &mut Exchange,
    stream: usize,
    pipe: &mut Option<impl AsyncRead + Unpin>,
    buffer: &mut [u8],
    context: &mut Context<'_>,
) -> Poll<Result<()>> {
    for _ in 0..MAX_READS {
        let Some(open) = pipe else {
            return Poll::Pending;
        };
        let mut read = ReadBuf::new(buffer);
        let done = ready!(Pin::new(open).poll_read(context, &mut read));
        done.map_err(unread)?;
        exchange.take(stream, read.filled());
        if read.filled().is_empty() {
            *pipe = None;
        }
    }
    Poll::Ready(Ok(()))
}
