//! What a process is called where processes are listed.

use std::fmt::{self, Write};
use std::fs;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::sys::startup::stat_field;

/// A title, as it will be shown.
pub(crate) struct Title {
    /// Ends with a NUL, as the other does.
    short: [u8; SHORT + 1],
    line: [u8; LINE],
    /// Bytes of the line, without the NUL.
    len: usize,
}

impl Title {
    /// The short name is cut to 15 bytes.
    pub(crate) fn new(title: impl fmt::Display) -> Title {
        let mut line = Line {
            bytes: [0; LINE],
            len: 0,
        };
        // What does not fit is left out.
        let _ = write!(line, "{title}");
        let Line { bytes: line, len } = line;
        let cut = line[..boundary(&line[..len], SHORT)].trim_ascii_end();
        let mut short = [0; SHORT + 1];
        short[..cut.len()].copy_from_slice(cut);
        Title { short, line, len }
    }

    /// Calls this process so: the short name (`PR_SET_NAME`, prctl(2)) and the
    /// command line.
    ///
    /// For processes with one thread.
    #[inline]
    pub(crate) fn set(&self) {
        // SAFETY: reads bytes to a NUL.
        unsafe { libc::prctl(libc::PR_SET_NAME, self.short.as_ptr()) };
        let mut place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Place::Unknown = *place {
            *place = make_place();
        }
        if let Place::At(line) = &mut *place {
            line[..=self.len].copy_from_slice(&self.line[..=self.len]);
        }
    }
}

/// A line that is written to, without NULs, until it is full. It takes no memory
/// from the heap: a template makes many of them.
struct Line {
    bytes: [u8; LINE],
    len: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split('\0') {
            let room = &mut self.bytes[self.len..LINE - 2];
            let len = boundary(part.as_bytes(), room.len());
            room[..len].copy_from_slice(&part.as_bytes()[..len]);
            self.len += len;
            if len < part.len() {
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

/// Bytes of a short name.
const SHORT: usize = 15;

/// Where to cut text in UTF-8, so that no character is cut.
fn boundary(text: &[u8], room: usize) -> usize {
    match text.len() <= room {
        true => text.len(),
        false => (0..=room)
            .rev()
            .find(|at| text[*at] & 0xc0 != 0x80)
            .unwrap_or(0),
    }
}

/// Room for a command line, with a NUL at its end, and the byte behind it.
const LINE: usize = 257;

/// Where the command line of this process is.
enum Place {
    /// Where it was: it was not moved yet.
    Unknown,
    /// Where it was: it cannot be moved.
    Nowhere,
    /// On the heap, because the kernel reads it in anonymous memory only. A fork
    /// has its own at the same place.
    At(Box<[u8; LINE]>),
}

static PLACE: Mutex<Place> = Mutex::new(Place::Unknown);

/// Has the kernel show another text for the command line (`PR_SET_MM_MAP`,
/// prctl(2)).
///
/// It is told a new place for it: the arguments stay where and what they are,
/// for `std::env::args`. A kernel without that (`CONFIG_CHECKPOINT_RESTORE`), or
/// a system without `/proc`, goes on showing the arguments.
///
/// A place whose last byte is not 0 is read to the first 0 (proc(5), on
/// `cmdline`): so a title can be changed there by writing to it.
#[cold]
fn make_place() -> Place {
    let Ok(mut map) = Map::read() else {
        return Place::Nowhere;
    };
    let mut place = Box::new([0; LINE]);
    place[LINE - 1] = 1;
    map.arg_start = place.as_ptr().addr() as u64;
    map.arg_end = map.arg_start + LINE as u64;
    // SAFETY: moves the end of the heap by nothing.
    map.brk = unsafe { libc::sbrk(0) }.addr() as u64;
    // SAFETY: reads a structure of that size, whose addresses are the process's
    // own, but for the new place of the arguments, which stays mapped.
    let moved = unsafe {
        libc::prctl(
            libc::PR_SET_MM,
            PR_SET_MM_MAP,
            &raw const map,
            size_of::<Map>(),
            0,
        )
    };
    match moved {
        0 => Place::At(place),
        _ => Place::Nowhere,
    }
}

const PR_SET_MM_MAP: libc::c_ulong = 14;

/// `struct prctl_mm_map`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Map {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

impl Map {
    /// The map as it is (proc(5)).
    fn read() -> io::Result<Map> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let field = |number| stat_field(&stat, number).ok_or(io::ErrorKind::InvalidData);
        Ok(Map {
            start_code: field(26)?,
            end_code: field(27)?,
            start_data: field(45)?,
            end_data: field(46)?,
            start_brk: field(47)?,
            brk: 0,
            start_stack: field(28)?,
            arg_start: field(48)?,
            arg_end: field(49)?,
            env_start: field(50)?,
            env_end: field(51)?,
            // The vector stays as it is, and so does the program.
            auxv: 0,
            auxv_size: 0,
            exe_fd: u32::MAX,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        for (text, room, len) in [("abc", 15, 3), ("abc", 2, 2), ("aé", 2, 1), ("é", 1, 0)] {
            assert_eq!(boundary(text.as_bytes(), room), len, "{text}");
        }
    }
}
