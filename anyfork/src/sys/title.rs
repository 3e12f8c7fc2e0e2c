//! What a process is called where processes are listed.

use std::ffi::CString;
use std::fs;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::boot::stat_field;

/// Sets the short name (`PR_SET_NAME`, prctl(2)) and the command line. The short
/// name is cut to 15 octets.
///
/// For processes with one thread.
pub(crate) fn set(title: &str) {
    let clean: Vec<u8> = title.bytes().filter(|octet| *octet != 0).collect();
    let short = &clean[..title_boundary(&clean, SHORT)];
    if let Ok(short) = CString::new(short.trim_ascii_end()) {
        // SAFETY: reads a C string.
        unsafe { libc::prctl(libc::PR_SET_NAME, short.as_ptr()) };
    }
    set_command_line(&clean[..title_boundary(&clean, TEXT - 1)]);
}

/// Octets of a short name.
const SHORT: usize = 15;

/// Where to cut text in UTF-8, so that no character is cut.
fn title_boundary(text: &[u8], room: usize) -> usize {
    match text.len() <= room {
        true => text.len(),
        false => (0..=room)
            .rev()
            .find(|at| text[*at] & 0xc0 != 0x80)
            .unwrap_or(0),
    }
}

/// Room for a command line, with a NUL at its end.
const TEXT: usize = 256;

/// Where `/proc/PID/cmdline` is read from: on the heap, because the kernel reads
/// it in anonymous memory only. A fork has its own at the same place.
static COMMAND_LINE: Mutex<Option<Box<[u8; TEXT]>>> = Mutex::new(None);

/// Has the kernel show `text` for the command line (`PR_SET_MM_MAP`, prctl(2)).
///
/// It is told a new place for it: the arguments stay where and what they are,
/// for `std::env::args`. A kernel without that (`CONFIG_CHECKPOINT_RESTORE`), or
/// a system without `/proc`, goes on showing the arguments.
fn set_command_line(text: &[u8]) {
    static MAP: OnceLock<Option<Map>> = OnceLock::new();
    let Some(map) = MAP.get_or_init(|| Map::read().ok()) else {
        return;
    };
    let mut place = COMMAND_LINE.lock().unwrap_or_else(PoisonError::into_inner);
    let place = place.get_or_insert_with(|| Box::new([0; TEXT]));
    place[..text.len()].copy_from_slice(text);
    place[text.len()] = 0;
    let mut map = *map;
    map.arg_start = place.as_ptr().addr() as u64;
    map.arg_end = map.arg_start + text.len() as u64 + 1;
    // SAFETY: moves the end of the heap by nothing.
    map.brk = unsafe { libc::sbrk(0) }.addr() as u64;
    // SAFETY: reads a structure of that size, whose addresses are the process's
    // own, but for the new place of the arguments, which stays mapped.
    unsafe {
        libc::prctl(
            libc::PR_SET_MM,
            PR_SET_MM_MAP,
            &raw const map,
            size_of::<Map>(),
            0,
        )
    };
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
            assert_eq!(title_boundary(text.as_bytes(), room), len, "{text}");
        }
    }
}
