//! `#[anyfork::early]` above and below `#[tokio::main]`.

use anyfork::Process;
use tokio::io::AsyncReadExt;

#[anyfork::worker]
async fn greet(socket: std::os::fd::OwnedFd, name: String) -> std::io::Result<()> {
    use std::io::Write;
    write!(std::fs::File::from(socket), "hello {name}")
}

async fn greeted(name: &str) -> anyfork::Result<String> {
    let mut worker = greet::run(Process::new()?, name.into()).await?;
    let mut text = String::new();
    worker.socket.read_to_string(&mut text).await?;
    assert!(worker.wait().await?.success());
    Ok(text)
}

#[anyfork::early]
#[tokio::main(worker_threads = 2)]
async fn main() -> anyfork::Result<()> {
    println!("{}", greeted("above").await?);
    let other = std::thread::spawn(below::main);
    other.join().expect("no panic")
}

mod below {
    #[tokio::main(flavor = "current_thread")]
    #[anyfork::early]
    pub(super) async fn main() -> anyfork::Result<()> {
        println!("{}", super::greeted("below").await?);
        Ok(())
    }
}
