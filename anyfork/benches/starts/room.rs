//! The room for heaps that the machine has.

use crate::machine::{meminfo, read};

/// Left free, when heaps are filled.
const RESERVE: u64 = 1 << 30;

/// Whether a page is 4 KiB, or more where the kernel likes: then a big process
/// has fewer of them.
pub(crate) fn huge_pages() -> String {
    let setting = read("/sys/kernel/mm/transparent_hugepage/enabled");
    let chosen = setting.split(['[', ']']).nth(1).unwrap_or("unknown");
    chosen.to_owned()
}

/// Whether so many bytes more can be filled.
pub(crate) fn has_room_for(size: usize) -> bool {
    let available = meminfo("MemAvailable:");
    size == 0 || available.is_none_or(|free| free > size as u64 + RESERVE)
}
