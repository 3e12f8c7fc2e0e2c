//! What arrives with a request, from the message to the steps.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::error::{Error, Result};
use crate::protocol::body::Body;
use crate::protocol::request::Head;
use crate::sys::{memfd, poll, socket};

/// Gathers a request's body, from wherever it is, and its descriptors.
pub(crate) fn gather(
    socket: &UnixStream,
    head: &Head,
    body: &[u8],
    memory: Option<OwnedFd>,
    mut fds: Vec<OwnedFd>,
) -> Result<Body> {
    receive_more(socket, head.trailing_fds as usize, &mut fds)?;
    let loaded;
    let body = match memory {
        None => body,
        Some(memory) => {
            loaded = memfd::load(memory, head.body_len)
                .map_err(|error| Error::io("read the arguments", error))?;
            &loaded
        }
    };
    Ok(Body::parse(body, fds)?)
}

/// Takes the descriptors that did not fit into the request.
fn receive_more(socket: &UnixStream, count: usize, fds: &mut Vec<OwnedFd>) -> Result<()> {
    let wanted = fds.len() + count;
    let failed = |error| Error::io("receive the worker's descriptors", error);
    while fds.len() < wanted {
        poll::wait(socket.as_fd(), poll::Interest::Readable, None).map_err(failed)?;
        let received = socket::receive(socket.as_fd(), &mut [0], fds).map_err(failed)?;
        if received.fds_cut {
            return Err(failed(io::Error::from_raw_os_error(libc::EMFILE)));
        }
        if received.len == 0 {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(())
}
