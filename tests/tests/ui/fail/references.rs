//! What comes from another process is owned.

use std::os::unix::net::UnixStream;
use std::path::Path;

#[anyfork::worker]
fn references(
    _socket: &mut UnixStream,
    _text: &str,
    _bytes: &'static [u8],
    _numbers: &[f64],
    _names: &[&str],
    _path: &Path,
    _number: &u32,
    _maybe: Option<&str>,
) {
}

fn main() {}
