//! The first parameter is the communication socket.

use std::net::TcpStream;

#[anyfork::worker]
fn no_socket(_name: String) {}

#[anyfork::worker]
fn other_socket(_socket: TcpStream) {}

#[anyfork::worker]
async fn no_async_socket(_name: String) {}

fn main() {}
