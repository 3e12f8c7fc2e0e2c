//! The answer to a request: the page that its script prints, or, if the script points to
//! another script, the page of that script.

use std::io;
use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::gateway::{self, Head};
use super::script::{Output, start};
use super::site::Site;

/// No script's header is longer.
const HEADER_LIMIT: usize = 64 << 10;

/// So often in a row scripts may point to another page of this server.
const REDIRECTS: u32 = 8;

/// Runs a script, and the next one as long as they point to each other.
pub(crate) async fn page(
    site: &Site,
    client: SocketAddr,
    request: Request,
) -> Result<Response, StatusCode> {
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
