//! A web server whose workers are processes: a crash costs one request, and a new worker
//! answers the next one. After Ctrl-C, the requests in progress finish.
//!
//! `cargo run --example prefork_server -- --port 8080 --workers 4`
//!
//! `curl http://127.0.0.1:8080` prints a line like `worker 2, process 4711`.

use std::{sync::Arc, time::Duration};

use anyfork::Process;
use axum::{Router, routing::any};
use clap::Parser;
use tokio::net::{TcpListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::{io::AsyncReadExt, task::JoinSet, time::sleep};

#[derive(Parser)]
struct Options {
    /// The port on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// How many processes answer
    #[arg(long, default_value_t = 4)]
    workers: u32,
}

/// Runs in a process and a tokio runtime of its own. All workers accept on the one
/// listener; `parent` is the socket that ties each to `main`.
#[anyfork::worker]
async fn serve(mut parent: UnixStream, listener: TcpListener, id: u32) -> std::io::Result<()> {
    // Ctrl-C reaches all processes, and does nothing where tokio listens to it: `main` decides.
    let _deaf = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let text = format!("worker {id}, process {}\n", std::process::id());
    let app = Router::new().route("/", any(|_body: String| async { text }));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) });
    let parent_gone = async {
        let _end_of_file = parent.read(&mut [0]).await; // nobody ever writes
        drop(stop);
        sleep(Duration::from_secs(10)).await; // for clients that are slow
    };
    tokio::select! { served = server => served, () = parent_gone => Ok(()) }
}

#[anyfork::early] // the template is forked here, before tokio starts its threads
#[tokio::main]
async fn main() -> anyfork::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let Options { port, workers } = Options::parse();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    println!("listening on http://{}", listener.local_addr()?);
    // Whatever is forked from this process has the listener.
    let template = Arc::new(Process::new()?.send_fd(listener).prepare().await?);
    let (stop, stopped) = watch::channel(());
    let all = (1..=workers).map(|id| supervise(id, Arc::clone(&template), stopped.clone()));
    let running: JoinSet<()> = all.collect();
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    drop(stop);
    running.join_all().await;
    Ok(())
}

/// Keeps worker `id` running until `stop`'s sender is dropped.
async fn supervise(id: u32, template: Arc<Process>, mut stop: watch::Receiver<()>) {
    while stop.has_changed().is_ok() {
        match template.fork().send_arg(id).run(serve::NAME).await {
            Ok(mut worker) => tokio::select! {
                Ok(exit) = worker.wait() => eprintln!("worker {id} (process {}) has ended: {exit}", worker.pid()),
                _ = stop.changed() => {
                    drop(worker.socket); // it finishes what it has begun
                    let _ = worker.child.wait().await;
                }
            },
            Err(error) => eprintln!("worker {id}: {error}"),
        }
        tokio::select! { () = sleep(Duration::from_millis(250)) => {}, _ = stop.changed() => {} }
    }
}
