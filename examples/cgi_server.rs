//! A web server whose pages come from programs in any language, through the Common Gateway
//! Interface (RFC 3875). A number in a comment is a section of that RFC.
//!
//! `cargo run --example cgi_server -- --port 8080 --dir examples/cgi-bin`
//!
//! `GET /hello.sh/some/path?some=query` runs `hello.sh` of that folder. On `POST /echo.py`,
//! `echo.py` already answers while it still reads what is posted.

#[path = "cgi_server/gateway.rs"]
mod gateway;
#[path = "cgi_server/page.rs"]
mod page;
#[path = "cgi_server/script.rs"]
mod script;
#[path = "cgi_server/site.rs"]
mod site;

use std::error::Error;
use std::net::SocketAddr;
use std::path::{PathBuf, absolute};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use site::Site;

#[derive(Parser)]
struct Options {
    /// The port on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The folder of the scripts
    #[arg(long, default_value = "cgi-bin")]
    dir: PathBuf,
    /// How many seconds a script may run
    #[arg(long, default_value_t = 30)]
    limit: u64,
}

#[anyfork::early] // the template is forked here, before tokio starts its threads
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let Options { port, dir, limit } = Options::parse();
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;

    let site = Arc::new(Site::new(absolute(dir)?, address, Duration::from_secs(limit)).await?);
    println!("listening on http://{address}");
    let app = Router::new().fallback(answer).with_state(site);
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
    let page = page::page(&site, client, request).await;
    page.unwrap_or_else(|status| (status, format!("{status}\n")).into_response())
}
