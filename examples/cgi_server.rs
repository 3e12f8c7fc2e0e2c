//! A web server whose pages are programs in any language, by the Common Gateway
//! Interface (RFC 3875, whose sections are the numbers in comments).
//!
//! `cargo run --example cgi_server -- --port 8080 --dir examples/cgi-bin`
//!
//! `GET /hello.sh/some/path?some=query` runs `hello.sh` of that folder, and
//! `POST /echo.py` lets `echo.py` answer while it still reads what is posted.

#[path = "cgi_server/gateway.rs"]
mod gateway;

use std::env;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{PathBuf, absolute};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use anyfork::{Child, Process, Stdio};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lexopt::prelude::*;
use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use gateway::{Head, Target};

const USAGE: &str = "usage: cgi_server [--port PORT] [--dir DIR] [--limit SECONDS]

  --port PORT      the port on 127.0.0.1; 0 picks a free one (default: 8080)
  --dir DIR        the folder of the scripts (default: cgi-bin)
  --limit SECONDS  how long a script may run (default: 30)";

/// So much is read from a script at once.
const PIECE: usize = 16 << 10;

/// No script's header is longer.
const HEADER_LIMIT: usize = 64 << 10;

/// So often in a row scripts may point to another page of this server.
const REDIRECTS: u32 = 8;

struct Site {
    template: Process,
    dir: PathBuf,
    limit: Duration,
}

/// What a script prints, piece by piece. An empty piece says that this was all;
/// without it, the script was killed.
type Output = Receiver<Bytes>;

#[anyfork::early] // the template is forked here, before tokio starts its threads
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (port, dir, limit) = arguments()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;

    // What all scripts have in common is set once, in a template of their own.
    let template = Process::new()?
        .current_dir(&dir)
        .env_clear()
        .env(
            "PATH",
            env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
        )
        .env("GATEWAY_INTERFACE", "CGI/1.1")
        .env("SERVER_SOFTWARE", "cgi_server/1.0")
        .env("SERVER_NAME", address.ip().to_string())
        .env("SERVER_PORT", address.port().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .timeout(limit)
        .kill_on_drop(true)
        .prepare()
        .await?;
    println!("listening on http://{address}");

    let site = Site {
        template,
        dir,
        limit,
    };
    let app = Router::new().fallback(answer).with_state(Arc::new(site));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    // At the end the runtime drops all that is in progress, and what is dropped
    // kills its script.
    tokio::select! {
        served = axum::serve(listener, app) => Ok(served?),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn answer(
    State(site): State<Arc<Site>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let page = page(&site, client, request).await;
    page.unwrap_or_else(|status| (status, format!("{status}\n")).into_response())
}

/// Runs a script, and the next one as long as they point to each other.
async fn page(site: &Site, client: SocketAddr, request: Request) -> Result<Response, StatusCode> {
    let (mut parts, mut body) = request.into_parts();
    // A script is told the length before it reads (4.2).
    if parts.headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(StatusCode::LENGTH_REQUIRED);
    }
    for _ in 0..=REDIRECTS {
        let mut output = start(site, client, &parts, body).await?;
        let (head, rest) = head(&mut output)
            .await
            .inspect_err(|status| eprintln!("{}: no header: {status}", parts.uri.path()))?;
        let redirect = head.local_redirect();
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
        if redirect.is_some() || parts.method == Method::HEAD || bodiless.contains(&head.status()) {
            // Nobody wants the rest. The script is not to notice: it may have
            // something to finish.
            while output.recv().await.is_some() {}
        }
        let Some(page) = redirect else {
            let mut response = Response::new(remaining(rest, output));
            *response.status_mut() = head.status();
            *response.headers_mut() = head.fields;
            return Ok(response);
        };
        // As if the client had asked for that page (6.2.2).
        let page = page.parse();
        parts.uri = page.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        parts.method = Method::GET;
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::CONTENT_TYPE);
        body = Body::empty();
    }
    Err(StatusCode::LOOP_DETECTED)
}

/// Starts the script of a request, and has it attended to.
async fn start(
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

/// Reads a script's header, and what of the page has come with it.
async fn head(output: &mut Output) -> Result<(Head, Bytes), StatusCode> {
    let mut text = Vec::new();
    while text.len() <= HEADER_LIMIT {
        if let Some(end) = gateway::end_of_header(&text) {
            let rest = text.split_off(end).into();
            let head = Head::parse(&text).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
            return Ok((head, rest));
        }
        match output.recv().await {
            Some(piece) if piece.is_empty() => break,
            Some(piece) => text.extend(piece),
            None => return Err(StatusCode::GATEWAY_TIMEOUT),
        }
    }
    Err(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A page from where its header has ended.
fn remaining(rest: Bytes, output: Output) -> Body {
    // A page that breaks off must not look complete.
    let killed = tokio_stream::once(Err(io::Error::other("the script was killed")));
    let pieces = ReceiverStream::new(output).map(Ok).chain(killed);
    let pieces = pieces.take_while(|it| !it.as_ref().is_ok_and(Bytes::is_empty));
    Body::from_stream(tokio_stream::once(Ok(rest)).chain(pieces))
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

fn arguments() -> Result<(u16, PathBuf, Duration), Box<dyn Error + Send + Sync>> {
    let (mut port, mut dir, mut limit) = (8080, PathBuf::from("cgi-bin"), 30);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("port") => port = parser.value()?.parse()?,
            Long("dir") => dir = parser.value()?.into(),
            Long("limit") => limit = parser.value()?.parse()?,
            Short('h') | Long("help") => {
                println!("{USAGE}");
                process::exit(0);
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok((port, absolute(dir)?, Duration::from_secs(u32::into(limit))))
}
