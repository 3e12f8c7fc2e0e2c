//! The return addresses on a thread's stack, and the images that they are in.
//! RUNS IN: any
//!
//! Nothing here allocates, so that a process without memory can say where it was.

use std::ffi::{CStr, c_int, c_void};
use std::mem;
use std::slice;

#[cfg(target_pointer_width = "32")]
type ProgramHeader = libc::Elf32_Phdr;
#[cfg(target_pointer_width = "64")]
type ProgramHeader = libc::Elf64_Phdr;

/// A program or library that is loaded (dl_iterate_phdr(3)).
pub(crate) struct Image<'a> {
    /// What the loader has added to the file's addresses.
    pub(crate) base: usize,
    /// The file's path; empty for the program itself.
    pub(crate) path: &'a CStr,
    headers: &'a [ProgramHeader],
}

/// Fills `out` with the return addresses of this thread's stack, the innermost first,
/// and gives their number.
pub(crate) fn return_addresses(out: &mut [usize]) -> usize {
    let mut len = 0;
    // SAFETY: walks this thread's own stack, and resolves no names, which alone need a
    // lock.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            match out.get_mut(len) {
                None => return false,
                Some(slot) => *slot = frame.ip() as usize,
            }
            len += 1;
            true
        });
    }
    len
}

/// Calls `visit` for each image until it gives false.
pub(crate) fn visit_images(mut visit: &mut dyn FnMut(&Image<'_>) -> bool) {
    extern "C" fn call(
        info: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        visit: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a valid one.
        let info = unsafe { &*info };
        // SAFETY: what `visit_images` has passed, which waits for the end.
        let visit = unsafe { &mut *visit.cast::<&mut dyn FnMut(&Image<'_>) -> bool>() };
        if info.dlpi_phdr.is_null() {
            return 0;
        }
        // SAFETY: the loader keeps the table as long as this callback runs.
        let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        let path = match info.dlpi_name.is_null() {
            true => c"",
            // SAFETY: a C string of the loader's.
            false => unsafe { CStr::from_ptr(info.dlpi_name) },
        };
        let image = Image {
            base: info.dlpi_addr as usize,
            path,
            headers,
        };
        c_int::from(!visit(&image))
    }
    let visit: *mut c_void = (&raw mut visit).cast();
    // SAFETY: the callback gets what it expects, and does not unwind.
    unsafe { libc::dl_iterate_phdr(Some(call), visit) };
}

impl Image<'_> {
    /// Whether the address is in memory that the image has loaded.
    pub(crate) fn contains(&self, address: usize) -> bool {
        let loaded = self.headers.iter().filter(|it| it.p_type == libc::PT_LOAD);
        loaded.into_iter().any(|it| {
            let start = self.base.wrapping_add(it.p_vaddr as usize);
            address.wrapping_sub(start) < it.p_memsz as usize
        })
    }

    /// A number that two builds of a file do not share: over the table of its parts,
    /// which has their exact sizes, and the beginning of the index of its functions.
    pub(crate) fn fingerprint(&self) -> u64 {
        /// Maximum number of bytes of the index.
        const INDEX: usize = 256;
        let table = self.headers.as_ptr().cast::<u8>();
        // SAFETY: the bytes of the table, which has no padding.
        let table = unsafe { slice::from_raw_parts(table, mem::size_of_val(self.headers)) };
        let mut hash = hash(0xcbf2_9ce4_8422_2325, table);
        let index = |it: &&ProgramHeader| it.p_type == libc::PT_GNU_EH_FRAME;
        if let Some(index) = self.headers.iter().find(index) {
            let start = self.base.wrapping_add(index.p_vaddr as usize);
            let len = INDEX.min(index.p_memsz as usize);
            if self.contains(start) && self.contains(start.wrapping_add(len)) {
                // SAFETY: read-only memory of the image, which is loaded.
                let index = unsafe { slice::from_raw_parts(start as *const u8, len) };
                hash = self::hash(hash, index);
            }
        }
        hash
    }
}

/// Goes on with a hash (FNV-1a).
fn hash(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(hash, step)
}

/// Reads the path of this process's program into `buffer` (readlink(2)); empty where
/// there is no `/proc`.
pub(crate) fn program_path(buffer: &mut [u8]) -> &[u8] {
    let path = c"/proc/self/exe".as_ptr();
    // SAFETY: writes at most as much as the buffer holds.
    let len = unsafe { libc::readlink(path, buffer.as_mut_ptr().cast(), buffer.len()) };
    &buffer[..usize::try_from(len).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_stack_is_in_the_program() {
        let mut addresses = [0; 16];
        let len = return_addresses(&mut addresses);
        assert!(len > 2, "{len}");
        let mut found = Vec::new();
        visit_images(&mut |image| {
            if image.contains(addresses[1]) {
                found.push((image.path.is_empty(), image.fingerprint()));
            }
            true
        });
        assert!(
            matches!(found[..], [(true, fingerprint)] if fingerprint != 0),
            "{found:?}"
        );
        assert!(!program_path(&mut [0; 4096]).is_empty());
    }
}
