//! The socket of a worker without `async` is not tokio's.

#[anyfork::worker]
fn blocking(_socket: tokio::net::UnixStream) {}

mod other {
    pub struct UnixStream;
}

#[anyfork::worker]
fn other_socket(_socket: other::UnixStream) {}

#[anyfork::worker]
async fn other_async_socket(_socket: other::UnixStream) {}

fn main() {}
