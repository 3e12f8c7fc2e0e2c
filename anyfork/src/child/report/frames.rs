//! The stack of a panic as the child notes it: addresses, without names.
//! RUNS IN: template, child
//!
//! The caller finds the names ([`failure`](crate::failure)): that takes tens of MiB and
//! of milliseconds, which a worker under a limit does not have.

use std::fmt;
use std::sync::OnceLock;

use crate::failure::RAW_STACK;
use crate::sys::stack::{self, Image};

/// The path of the program. It is read before anything fails: a process that has confined
/// itself may not be allowed to.
static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();

/// Reads the path of the program.
pub(crate) fn note_program() {
    PROGRAM.get_or_init(|| stack::program_path(&mut [0; 4096]).to_vec());
}

/// Maximum number of frames.
const MAX_FRAMES: usize = 100;

/// Writes the stack of this thread: for each image a line with its fingerprint and its
/// path, and behind it a line for each address in it, less the image's base.
pub(crate) fn write_stack(out: &mut dyn fmt::Write) -> fmt::Result {
    let mut addresses = [0; MAX_FRAMES];
    let len = stack::return_addresses(&mut addresses);
    write!(out, "{RAW_STACK}")?;
    let mut last = None;
    for address in &addresses[..len] {
        let mut written = Err(fmt::Error);
        stack::visit_images(&mut |image| {
            if !image.contains(*address) {
                return true;
            }
            written = write_frame(out, image, *address, &mut last);
            false
        });
        if written.is_err() {
            last = None;
            write!(out, "\n@0 \n{address:x}")?;
        }
    }
    Ok(())
}

fn write_frame(
    out: &mut dyn fmt::Write,
    image: &Image<'_>,
    address: usize,
    last: &mut Option<usize>,
) -> fmt::Result {
    if last.replace(image.base) != Some(image.base) {
        write!(out, "\n@{:x} ", image.fingerprint())?;
        let path = match image.path.is_empty() {
            true => PROGRAM.get().map_or(&b""[..], Vec::as_slice),
            false => image.path.to_bytes(),
        };
        for chunk in path.utf8_chunks() {
            // A line break would end the line.
            let mut parts = chunk.valid().split('\n');
            out.write_str(parts.next().unwrap_or_default())?;
            parts.try_for_each(|part| write!(out, "?{part}"))?;
            if !chunk.invalid().is_empty() {
                out.write_str("?")?;
            }
        }
    }
    write!(out, "\n{:x}", address.wrapping_sub(image.base))
}
