//! A web server whose workers are processes: a crash costs one request, and
//! the next one finds a new worker.
//!
//! `cargo run --example prefork_server -- --port 8080 --workers 4`
//!
//! `GET /` tells who answers. `POST /` is answered once its body has arrived,
//! so that there can be a request in progress when you press Ctrl-C.

use std::error::Error;
use std::num::NonZeroU32;
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyfork::Process;
use axum::Router;
use axum::routing::get;
use lexopt::prelude::*;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

const USAGE: &str = "usage: prefork_server [--port PORT] [--workers N]

  --port PORT  the port on 127.0.0.1; 0 picks a free one (default: 8080)
  --workers N  how many processes answer (default: 4)";

/// So long a worker that stops waits for its clients.
const GRACE: Duration = Duration::from_secs(10);

/// A worker that ends sooner than this is replaced no sooner than this.
const BACK_OFF: Duration = Duration::from_millis(250);

/// Runs in a process of its own, in a tokio runtime of its own. All workers
/// accept on the one listener; `parent` is the socket that ties each to `main`.
#[anyfork::worker]
async fn serve(mut parent: UnixStream, listener: TcpListener, id: u32) -> std::io::Result<()> {
    // Ctrl-C on a terminal reaches every process in the foreground, and service
    // managers send SIGTERM to all. When to stop is for the parent to say; a
    // signal that tokio listens to does nothing else any more.
    let _ignored = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );

    let who = move || format!("worker {id}, process {}\n", process::id());
    let answer = get(move || async move { who() })
        .post(move |body: String| async move { format!("{} bytes, {}", body.len(), who()) });
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, Router::new().route("/", answer))
        .with_graceful_shutdown(async { drop(stopped.await) });

    let parent_gone = async move {
        // Nobody ever writes: what comes is end-of-file, when the parent drops
        // its end, or is killed.
        let _ = parent.read(&mut [0]).await;
        drop(stop);
        sleep(GRACE).await;
    };
    tokio::select! {
        served = server => served,
        () = parent_gone => Ok(()),
    }
}

#[anyfork::early] // the template is forked here, before tokio starts its threads
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (port, workers) = arguments()?;

    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    println!("listening on http://{}", listener.local_addr()?);

    // The first `fork` makes a second template of this: it has the listener, so
    // each worker forked from it has, too.
    let template = Arc::new(Process::new()?.send_fd(listener));
    let (stop, stopped) = watch::channel(());
    let mut supervisors: JoinSet<_> = (1..=workers.get())
        .map(|id| supervise(id, Arc::clone(&template), stopped.clone()))
        .collect();

    let ended = tokio::select! {
        _ = interrupt.recv() => Ok(Ok(())),
        _ = terminate.recv() => Ok(Ok(())),
        // A supervisor gives up only if it cannot start workers any more.
        Some(ended) = supervisors.join_next() => ended,
    };
    drop(stop);
    while supervisors.join_next().await.is_some() {}
    Ok(ended??)
}

/// Keeps worker `id` running until `stop`'s sender is dropped.
async fn supervise(
    id: u32,
    template: Arc<Process>,
    mut stop: watch::Receiver<()>,
) -> anyfork::Result<()> {
    loop {
        let started = Instant::now();
        match template.fork().send_arg(id).run(serve::NAME).await {
            Ok(mut worker) => tokio::select! {
                exit = worker.wait() => {
                    eprintln!("worker {id} (process {}) has ended: {}", worker.pid(), exit?);
                }
                _ = stop.changed() => {
                    drop(worker.socket); // the worker finishes what it has begun
                    let _ = worker.child.wait().await?;
                    return Ok(());
                }
            },
            // It was killed before it was ready; another may fare better.
            Err(error) if error.exit().is_some() => eprintln!("worker {id}: {error}"),
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = sleep(BACK_OFF.saturating_sub(started.elapsed())) => {}
            _ = stop.changed() => return Ok(()),
        }
    }
}

fn arguments() -> Result<(u16, NonZeroU32), lexopt::Error> {
    let (mut port, mut workers) = (8080, NonZeroU32::MIN.saturating_add(3));
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("port") => port = parser.value()?.parse()?,
            Long("workers") => workers = parser.value()?.parse()?,
            Short('h') | Long("help") => {
                println!("{USAGE}");
                process::exit(0);
            }
            _ => return Err(argument.unexpected()),
        }
    }
    Ok((port, workers))
}
