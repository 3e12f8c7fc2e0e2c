//! A web service whose work may crash, hang or run out of memory. The work of each request
//! is a call in a pool of processes, with a time limit. A failure affects no other request.
//!
//! `cargo run --example crash_proof_server -- --port 8080 --limit 1000`
//!
//! `curl http://127.0.0.1:8080 -d '2 3 + 4 *'` prints `20`. `0 1/x` panics (500), `abort`
//! crashes (502), and `spin` takes too long (504). If too many requests wait, the next one
//! gets 503.

use std::time::Duration;

use anyfork::{Error, ErrorKind, Pool, Process};
use axum::{Router, extract::State, http::StatusCode, routing::post};
use clap::Parser;
use tokio::net::TcpListener;

#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The time of a request's work, in milliseconds
    #[arg(long, default_value_t = 1000)]
    limit: u64,
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// How many requests may wait for a process
    #[arg(long, default_value_t = 100)]
    queue: usize,
}

/// Runs in a process of the pool. Values and operators, the operators behind: `2 3 +`.
#[anyfork::call]
fn evaluate(expression: String) -> Result<i64, String> {
    let mut stack = Vec::new();
    for word in expression.split_whitespace() {
        let mut pop = || stack.pop().ok_or(format!("too few values for `{word}`"));
        let value = match word {
            "+" => pop()? + pop()?,
            "*" => pop()? * pop()?,
            "1/x" => 1 / pop()?, // as careless as any code
            "abort" => std::process::abort(),
            "spin" => loop {
                std::hint::spin_loop();
            },
            number => number.parse().map_err(|_| format!("no number: {number}"))?,
        };
        stack.push(value);
    }
    stack.pop().ok_or("nothing to evaluate".into())
}

async fn answer(pool: State<Pool>, expression: String) -> (StatusCode, String) {
    match evaluate::call(&pool, expression).await {
        Ok(Ok(value)) => (StatusCode::OK, format!("{value}\n")),
        Ok(Err(message)) => (StatusCode::BAD_REQUEST, format!("{message}\n")),
        Err(error) => (status(&error), format!("{error}\n")),
    }
}

fn status(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Died => StatusCode::BAD_GATEWAY,
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Full => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR, // `Panicked`, above all
    }
}

#[anyfork::early] // the template is forked here, before tokio starts its threads
#[tokio::main]
async fn main() -> anyfork::Result<()> {
    let options = Options::parse();
    let limit = Duration::from_millis(options.limit);
    let pool = Pool::builder(Process::new()?)
        .max(options.workers)
        .queue(options.queue);
    let pool = pool.timeout(limit).build()?;
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = Router::new().route("/", post(answer)).with_state(pool);
    Ok(axum::serve(listener, app).await?)
}
