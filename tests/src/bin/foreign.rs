//! A program that does not link anyfork, and that answers as its own name says to
//! what is asked of a template.

use std::env;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::thread;

use sendfd::RecvWithFd;

fn main() {
    let name = env::args().next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default();
    let marker = env::var("ANYFORK_TEMPLATE").expect("a number");
    let number = marker.parse().expect("a number");
    // SAFETY: it was left open for this program.
    let control = unsafe { OwnedFd::from_raw_fd(number) };
    let control = UnixDatagram::from(control);
    // Room for the sender's credentials, too, which the kernel puts before.
    let (mut greeting, mut fds) = ([0; 8], [0; 16]);
    let received = control.recv_with_fd(&mut greeting, &mut fds);
    assert_eq!(received.expect("a greeting"), (4, 1));
    assert_eq!(greeting[..2], *b"AF");
    // SAFETY: it was just received.
    let answering = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    let mut answering = UnixStream::from(answering);
    let answer: &[u8] = match name.to_str().expect("a name") {
        "version" => &[3, 9, 0, 0, 0, 0, 0, 0],
        "out-of-turn" => &[1, 1, 0, 0, 7, 0, 0, 0],
        "half" => &[3, 1, 0],
        "greets-and-stays" => &[3, 1, 0, 0, 0, 0, 0, 0],
        "nonsense" => b"HTTP/1.1 400 Bad Request",
        "greets" => {
            // Until nobody reads any more.
            while answering.write_all(&[3, 1, 0, 0, 0, 0, 0, 0]).is_ok() {}
            return;
        }
        "closed" => {
            drop((control, answering));
            stay()
        }
        _ => stay(),
    };
    answering.write_all(answer).expect("somebody listens");
    stay()
}

fn stay() -> ! {
    loop {
        thread::park();
    }
}
