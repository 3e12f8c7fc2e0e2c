//! Keeps N workers running: a worker that ends is restarted, after a pause that grows while
//! the worker keeps failing. On SIGHUP the supervisor replaces the workers one by one; each
//! new worker is ready before the old one ends. However the supervisor ends, even by
//! SIGKILL, its workers end with it.
//!
//! `cargo run --example supervisor -- 3`, then `kill -HUP` its process.
//!
//! It prints lines like `worker 2 is process 4711` and `worker 2 has ended: signal: 9 (SIGKILL)`.

use std::sync::Arc;
use std::time::Duration;

use anyfork::{Process, Worker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Does its work until the supervisor closes the socket, or is gone.
#[anyfork::worker]
async fn work(mut socket: UnixStream) -> std::io::Result<()> {
    socket.write_all(b"ready").await?;
    socket.read(&mut [0]).await.map(drop)
}

/// A worker that has said that it is ready.
async fn start(id: u32) -> anyfork::Result<Worker> {
    let process = Process::new()?.timeout(LONGEST_PAUSE).kill_on_drop(true);
    let mut worker = work::run(process).await?;
    worker.socket.read_exact(&mut [0; 5]).await?;
    println!("worker {id} is process {}", worker.pid());
    Ok(worker)
}

/// Keeps worker `id` running. A change of `reloads` asks for another process.
async fn supervise(id: u32, mut reloads: watch::Receiver<()>, turn: Arc<Mutex<()>>) {
    let (mut pause, mut old) = (PAUSE, None);
    loop {
        let born = Instant::now();
        match start(id).await {
            Ok(mut worker) => {
                drop(old.take()); // its place is taken: the process and the turn
                tokio::select! {
                    Ok(exit) = worker.wait() => println!("worker {id} has ended: {exit}"),
                    Ok(()) = reloads.changed() => {
                        old = Some((worker, Arc::clone(&turn).lock_owned().await));
                        continue;
                    }
                }
            }
            Err(error) => println!("worker {id}: {error}"),
        }
        pause = match born.elapsed() > LONGEST_PAUSE {
            true => PAUSE,
            false => LONGEST_PAUSE.min(pause * 2),
        };
        sleep(pause).await;
    }
}

#[anyfork::early]
#[tokio::main]
async fn main() -> std::io::Result<()> {
    let number = std::env::args().nth(1).and_then(|it| it.parse().ok());
    let mut hangup = signal(SignalKind::hangup())?;
    let (reload, reloads) = watch::channel(());
    let turn = Arc::new(Mutex::new(()));
    let _running: JoinSet<()> = (1..=number.unwrap_or(3))
        .map(|id| supervise(id, reloads.clone(), Arc::clone(&turn)))
        .collect();
    while hangup.recv().await.is_some() {
        let _ = reload.send(());
    }
    Ok(())
}
