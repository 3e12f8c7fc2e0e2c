//! [`Region`]: the memory of one child: a stack, and what is laid out for it.
//! RUNS IN: template

use std::ffi::c_void;
use std::io;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

/// Number of bytes of a page, or more.
const GUARD: usize = 64 * 1024;

/// Number of bytes of the stack. The child uses a few of them.
const STACK: usize = 64 * 1024;

/// Memory that no child of a fork has a copy of (mmap(2), `MADV_DONTFORK`): a page that
/// faults, the stack above it, and data.
///
/// The first word of the data says whether a child uses it.
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
    /// Number of bytes from the base on that are in use.
    used: usize,
}

impl Region {
    /// A region with room for so many bytes of data.
    pub(crate) fn new(capacity: usize) -> io::Result<Region> {
        let full = || io::Error::from(io::ErrorKind::OutOfMemory);
        let len = capacity.checked_add(GUARD + STACK).ok_or_else(full)?;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: asks for new memory anywhere.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(full)?;
        let mut region = Region { base, len, used: 0 };
        region.clear();
        // SAFETY: the memory is the region's, and not in use yet.
        let guarded = unsafe { libc::mprotect(base.as_ptr().cast(), GUARD, libc::PROT_NONE) };
        // SAFETY: as above; the advice changes nothing here.
        let advised = unsafe { libc::madvise(base.as_ptr().cast(), len, libc::MADV_DONTFORK) };
        match guarded == 0 && advised == 0 {
            true => Ok(region),
            false => Err(io::Error::last_os_error()),
        }
    }

    /// Number of bytes of data that there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.len - GUARD - STACK
    }

    /// Forgets what is laid out. Nobody has a pointer to it any more.
    pub(crate) fn clear(&mut self) {
        self.used = GUARD + STACK + mem::size_of::<AtomicU32>();
    }

    /// Lays items out, and gives where: an error if there is no room.
    pub(super) fn put<T: Copy>(&mut self, items: &[T]) -> io::Result<*const T> {
        let start = self.used.next_multiple_of(mem::align_of::<T>());
        let end = start.checked_add(mem::size_of_val(items));
        let end = end.filter(|end| *end <= self.len);
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        // SAFETY: the place is in the region, behind what is laid out; the base is aligned
        // to a page.
        let at = unsafe { self.base.as_ptr().add(start) }.cast::<T>();
        // SAFETY: there is room for the items, which are somewhere else.
        unsafe { ptr::copy_nonoverlapping(items.as_ptr(), at, items.len()) };
        self.used = end;
        Ok(at)
    }

    /// The end of the stack, from which it grows down.
    pub(super) fn stack_top(&self) -> *mut c_void {
        // SAFETY: within the region.
        unsafe { self.base.as_ptr().add(GUARD + STACK) }.cast()
    }

    /// The word that the kernel clears.
    pub(super) fn word(&self) -> *mut u32 {
        self.stack_top().cast()
    }

    /// A child is about to use the region.
    pub(super) fn set_busy(&self) {
        self.busy().store(1, Ordering::Relaxed);
    }

    /// Whether a child uses the region.
    pub(super) fn is_busy(&self) -> bool {
        self.busy().load(Ordering::Acquire) != 0
    }

    fn busy(&self) -> &AtomicU32 {
        // SAFETY: the word is in the region as long as that is there, and everybody changes
        // it atomically.
        unsafe { AtomicU32::from_ptr(self.word()) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // A child that uses it needs it for longer.
        if !self.is_busy() {
            // SAFETY: the memory is the region's, and nobody uses it any more.
            unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_out_stays_where_it_is() {
        let mut region = Region::new(8192).unwrap();
        let text = region.put(b"text").unwrap();
        let numbers = region.put(&[1u64, 2]).unwrap();
        // SAFETY: both were laid out above.
        let found = unsafe { (*text.cast::<[u8; 4]>(), *numbers.cast::<[u64; 2]>()) };
        assert_eq!(found, (*b"text", [1, 2]));
        assert!(region.put(&[0u8; 8192]).is_err());
        assert!(!region.is_busy());
        region.set_busy();
        assert!(region.is_busy());
        region.busy().store(0, Ordering::Relaxed);
        region.clear();
        assert_eq!(region.put(b"x").unwrap(), text);
    }
}
