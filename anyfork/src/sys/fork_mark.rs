//! Tells a process from a copy that it has forked, without a system call.
//! RUNS IN: caller, child

use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};

use crate::sys::missing;

/// A mark that a copy does not have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForkMark(&'static AtomicU8);

impl ForkMark {
    /// Marks this process (`MADV_WIPEONFORK`, madvise(2)).
    pub(crate) fn new() -> io::Result<ForkMark> {
        let len = NonZeroUsize::MIN;
        let (protection, flags) = (
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_PRIVATE,
        );
        // SAFETY: makes a mapping at a place that the kernel chooses.
        let page = unsafe { mmap_anonymous(None, len, protection, flags) }?;
        // SAFETY: the page is this function's own, and only what a copy finds in it changes.
        unsafe { madvise(page, 4096, MmapAdvise::MADV_WIPEONFORK) }
            .map_err(|errno| missing::MADVISE.error(errno.into()))?;
        let mark: NonNull<AtomicU8> = page.cast();
        // SAFETY: the page is readable and writable, and is never unmapped.
        let mark = unsafe { mark.as_ref() };
        mark.store(1, Ordering::Relaxed);
        Ok(ForkMark(mark))
    }

    /// Whether this process is a copy of the one that was marked.
    pub(crate) fn is_copy(self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}
