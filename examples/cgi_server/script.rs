//! A running script. The server starts it for a request, feeds it with what is posted, and
//! passes its output on, until the script ends or its time is over.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyfork::Child;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::request::Parts;
use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout_at};
use tokio_stream::StreamExt;

use super::gateway::Target;
use super::site::Site;

/// So much is read from a script at once.
const PIECE: usize = 16 << 10;

/// What a script prints, piece by piece. An empty piece says that this was all;
/// without it, the script was killed.
pub(crate) type Output = Receiver<Bytes>;

/// Starts the script of a request, and has it attended to.
pub(crate) async fn start(
    site: &Site,
    client: SocketAddr,
    parts: &Parts,
    body: Body,
) -> Result<Output, StatusCode> {
    let target = Target::parse(parts.uri.path())?;
    let path = site.dir.join(&target.script);
    let deadline = Instant::now() + site.limit;
    let child = site
        .template
        .fork()
        .exec(&path)
        .envs(target.variables(&site.dir, client, parts))
        .process_group(0)
        .spawn()
        .await
        .map_err(|error| {
            eprintln!("{error}");
            match io::Error::from(error).kind() {
                _ if !path.exists() => StatusCode::NOT_FOUND,
                ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
                ErrorKind::ArgumentListTooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            }
        })?;
    let (sender, output) = channel(1);
    tokio::spawn(Script { path, child }.attend(body, sender, deadline));
    Ok(output)
}

/// A script that runs. Dropped, it is killed, with all that it has started.
struct Script {
    path: PathBuf,
    child: Child,
}

impl Script {
    /// Passes on what is posted and what is printed, until the script's end.
    async fn attend(mut self, body: Body, output: Sender<Bytes>, deadline: Instant) {
        let stdin = self.child.stdin.take().expect("it is piped");
        let stdout = self.child.stdout.take().expect("it is piped");
        let page = output.downgrade();
        let posted = async {
            match read_body(body, stdin).await {
                // Whoever has the whole page is free to go.
                Err(_) if page.upgrade().is_none() => Ok(()),
                ended => ended,
            }
        };
        let ended = timeout_at(deadline, async {
            tokio::try_join!(posted, send_page(stdout, output))?;
            Ok(self.child.wait().await?)
        });
        let name = self.path.display();
        match ended.await.map_err(io::Error::from).flatten() {
            Ok(exit) if exit.success() => {}
            Ok(exit) => eprintln!("{name}: {exit}"),
            Err(error) => eprintln!("{name}: {error}"),
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if let Err(error) = self.child.signal_group(Signal::SIGKILL as i32) {
            eprintln!("{}: {error}", self.path.display());
        }
    }
}

/// Gives a script what is posted. What the script does not want is read, too: a
/// client that sends does not look for an answer.
async fn read_body(body: Body, stdin: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut stdin = Some(stdin);
    let mut body = body.into_data_stream();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| client_is_gone())?;
        if let Some(pipe) = &mut stdin
            && pipe.write_all(&piece).await.is_err()
        {
            stdin = None;
        }
    }
    Ok(())
}

/// Passes on what a script prints, and its end.
async fn send_page(mut stdout: impl AsyncRead + Unpin, output: Sender<Bytes>) -> io::Result<()> {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let length = tokio::select! {
            length = stdout.read_buf(&mut piece) => length?,
            () = output.closed() => return Err(client_is_gone()),
        };
        let sent = output.send(piece.into()).await;
        sent.map_err(|_| client_is_gone())?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn client_is_gone() -> io::Error {
    io::Error::new(ErrorKind::ConnectionAborted, "the client is gone")
}
