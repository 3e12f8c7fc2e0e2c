//! The name and the command line that lists of processes show.
//! RUNS IN: template, child, spare, monitor

use std::fmt::{self, Write};
use std::fs;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::sys::proc_stat::stat_field;
use crate::sys::threads::OneThread;

/// A title in the form that the kernel shows.
pub(crate) struct Title {
    /// The short name, with a NUL at its end.
    short: [u8; SHORT_LEN + 1],
    /// The command line, with a NUL at its end.
    line: [u8; LINE_LEN],
    /// Number of bytes of the line, without the NUL.
    len: usize,
}

impl Title {
    /// Formats a title. The short name is its first 15 bytes.
    pub(crate) fn new(title: impl fmt::Display) -> Title {
        let mut line = Line {
            bytes: [0; LINE_LEN],
            len: 0,
        };
        // What does not fit is left out.
        let _ = write!(line, "{title}");
        let Line { bytes: line, len } = line;
        let cut = line[..boundary(&line[..len], SHORT_LEN)].trim_ascii_end();
        let mut short = [0; SHORT_LEN + 1];
        short[..cut.len()].copy_from_slice(cut);
        Title { short, line, len }
    }

    /// Gives this process the title: the short name (`PR_SET_NAME`, prctl(2)) and
    /// the command line.
    #[inline]
    pub(crate) fn set(&self, _: OneThread) {
        // SAFETY: reads bytes to a NUL.
        unsafe { libc::prctl(libc::PR_SET_NAME, self.short.as_ptr()) };
        let mut shown = COMMAND_LINE.lock().unwrap_or_else(PoisonError::into_inner);
        if let CommandLine::Untried = *shown {
            *shown = move_command_line();
        }
        if let CommandLine::Moved(line) = &mut *shown {
            line[..=self.len].copy_from_slice(&self.line[..=self.len]);
        }
    }
}

/// A buffer for a command line: takes text without its NULs until it is full. It
/// allocates nothing, because a template formats many titles.
struct Line {
    bytes: [u8; LINE_LEN],
    len: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split('\0') {
            let room = &mut self.bytes[self.len..LINE_LEN - 2];
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

/// Maximum number of bytes of a short name.
const SHORT_LEN: usize = 15;

/// The largest index up to `room` at which UTF-8 text can be cut between two
/// characters.
fn boundary(text: &[u8], room: usize) -> usize {
    match text.len() <= room {
        true => text.len(),
        false => (0..=room)
            .rev()
            .find(|at| text[*at] & 0xc0 != 0x80)
            .unwrap_or(0),
    }
}

/// Maximum number of bytes of a command line, with a NUL at its end and the byte
/// behind that.
const LINE_LEN: usize = 257;

/// Where the kernel reads the command line of this process.
enum CommandLine {
    /// Among the arguments: nobody has tried to move it yet.
    Untried,
    /// Among the arguments: the kernel refuses to move it.
    Fixed,
    /// On the heap, because the kernel reads a command line in anonymous memory only.
    /// A fork has its own copy at the same address.
    Moved(Box<[u8; LINE_LEN]>),
}

static COMMAND_LINE: Mutex<CommandLine> = Mutex::new(CommandLine::Untried);

/// Makes the kernel read the command line from the heap (`PR_SET_MM_MAP`, prctl(2)).
///
/// The arguments stay where and what they are, for `std::env::args`. A kernel
/// without the call (`CONFIG_CHECKPOINT_RESTORE`), or a system without `/proc`, goes
/// on showing the arguments.
///
/// If the last byte is not 0, the kernel shows the text up to the first 0 (proc(5),
/// on `cmdline`): so writing to the memory changes the title.
#[cold]
fn move_command_line() -> CommandLine {
    let Ok(mut map) = Map::read() else {
        return CommandLine::Fixed;
    };
    let mut line = Box::new([0; LINE_LEN]);
    line[LINE_LEN - 1] = 1;
    map.arg_start = line.as_ptr().addr() as u64;
    map.arg_end = map.arg_start + LINE_LEN as u64;
    // SAFETY: moves the end of the heap by nothing, and no other thread moves it.
    map.brk = unsafe { libc::sbrk(0) }.addr() as u64;
    // SAFETY: reads a structure of that size, whose addresses are the process's
    // own, but for that of the command line, which stays mapped.
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
        0 => CommandLine::Moved(line),
        _ => CommandLine::Fixed,
    }
}

const PR_SET_MM_MAP: libc::c_ulong = 14;

/// `struct prctl_mm_map` of prctl(2).
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
    /// The addresses as they are now (`/proc/self/stat`, proc(5)).
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
            // The auxiliary vector and the executable stay as they are.
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
