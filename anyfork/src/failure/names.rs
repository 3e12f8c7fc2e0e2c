//! Finds the names of the addresses on the stack of a process that has failed.
//! RUNS IN: caller, template, child
//!
//! An early template and its children have the caller's images at the same addresses;
//! another copy of the program has the same images elsewhere. What is in an image that
//! this process does not have is shown by the image's path and the address in it.

use std::ffi::c_void;
use std::fmt::Write;

use crate::failure::RAW_STACK;
use crate::sys::stack;

/// The stack as std prints one, from what a child has noted; a text that is already one
/// as it is.
pub(crate) fn resolve(noted: &str) -> String {
    let Some(lines) = noted.strip_prefix(RAW_STACK) else {
        return noted.to_owned();
    };
    /// Maximum number of lines: a child notes a hundred addresses, each with an image, but it
    /// may send what it likes.
    const MAX_LINES: usize = 256;
    let (mut image, mut frames) = (("", None), Vec::new());
    for line in lines.lines().filter(|it| !it.is_empty()).take(MAX_LINES) {
        match line.strip_prefix('@').and_then(|it| it.split_once(' ')) {
            Some((fingerprint, path)) => image = (path, base_of(fingerprint)),
            None => {
                // A last line that was cut off is none.
                let Ok(offset) = usize::from_str_radix(line, 16) else {
                    continue;
                };
                push_frame(&mut frames, image, offset);
            }
        }
    }
    shown(frames)
}

/// Where this process has the image of that fingerprint.
fn base_of(fingerprint: &str) -> Option<usize> {
    let fingerprint = u64::from_str_radix(fingerprint, 16).ok()?;
    let mut base = None;
    stack::visit_images(&mut |image| {
        if image.fingerprint() == fingerprint {
            base = Some(image.base);
        }
        base.is_none()
    });
    base
}

/// A function of the stack, and the place in it.
struct Frame {
    name: String,
    place: Option<String>,
}

/// Adds the frame of this address, and those of the functions that were inlined there.
fn push_frame(frames: &mut Vec<Frame>, (path, base): (&str, Option<usize>), offset: usize) {
    let before = frames.len();
    if let Some(base) = base {
        let address = base.wrapping_add(offset) as *mut c_void;
        backtrace::resolve(address, |symbol| {
            let Some(name) = symbol.name() else { return };
            let place = symbol.filename().map(|file| {
                let mut place = file.display().to_string();
                for number in [symbol.lineno(), symbol.colno()].into_iter().flatten() {
                    let _ = write!(place, ":{number}");
                }
                place
            });
            frames.push(Frame {
                // Without the hash.
                name: format!("{name:#}"),
                place,
            });
        });
    }
    if frames.len() == before {
        let name = match path {
            "" => format!("{offset:#x}"),
            path => format!("{path}+{offset:#x}"),
        };
        frames.push(Frame { name, place: None });
    }
}

/// The frames as a text, without those below the worker and above the panic.
fn shown(mut frames: Vec<Frame>) -> String {
    let find = |name| frames.iter().position(|frame| frame.name.contains(name));
    let below = find("__anyfork_begin_short_backtrace").unwrap_or(frames.len());
    let above = find("__rust_end_short_backtrace").map_or(0, |end| end + 1);
    if above < below {
        frames.truncate(below);
        frames.drain(..above);
    }
    let mut text = String::new();
    for (number, frame) in frames.iter().enumerate() {
        let _ = writeln!(text, "{number:4}: {}", frame.name);
        if let Some(place) = &frame.place {
            let _ = writeln!(text, "             at {place}");
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_not_here_is_named_with_the_offset() {
        let noted = format!("{RAW_STACK}\n@12ab /bin/other\n1f\n20\n@0 \nffee\n@77 /cut");
        let shown = resolve(&noted);
        let frames = "0: /bin/other+0x1f\n   1: /bin/other+0x20\n   2: 0xffee";
        assert_eq!(shown.trim(), frames);
    }

    #[test]
    fn a_text_stays() {
        assert_eq!(resolve("  0: f"), "  0: f");
        assert_eq!(resolve(""), "");
    }
}
