//! A number in memory that two processes share (memfd_create(2), mmap(2)).
//! RUNS IN: caller, child
//!
//! One process maps the page and stores numbers there, without a system call. The other
//! reads the file, and so never touches memory that its peer could take away.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::sys::signal::Signal;
use nix::unistd::ftruncate;

use crate::sys::fd::above_standard;
use crate::sys::signal::CaughtSignal;

/// Number of bytes of the file.
const LEN: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not 0");

/// A file that holds the number 0 and keeps its size (memfd_create(2), `F_ADD_SEALS`,
/// fcntl(2)).
///
/// Under a limit of no bytes (`RLIMIT_FSIZE`) this is an error, and raises no SIGXFSZ.
pub(crate) fn create() -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = memfd_create(c"anyfork call", flags)?;
    {
        let _caught = CaughtSignal::new(Signal::SIGXFSZ)?;
        ftruncate(&file, LEN.get() as i64)?;
    }
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    above_standard(file)
}

/// The number in the file (pread(2)).
pub(crate) fn read(file: &File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The number, mapped for the rest of this process's life.
#[derive(Clone, Copy)]
pub(crate) struct SharedNumber(&'static AtomicU64);

impl SharedNumber {
    /// Maps the file (mmap(2)). A file that could shrink is refused: a store into a page
    /// that is gone would kill this process.
    pub(crate) fn map(file: BorrowedFd<'_>) -> io::Result<SharedNumber> {
        let seals = fcntl(file.as_fd(), FcntlArg::F_GET_SEALS)?;
        if seals & libc::F_SEAL_SHRINK == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: makes a mapping at a place that the kernel chooses.
        let page = unsafe { mmap(None, LEN, protection, MapFlags::MAP_SHARED, file, 0) }?;
        let number: NonNull<AtomicU64> = page.cast();
        // SAFETY: a page is aligned, holds eight bytes of the file, which keeps its size,
        // and is never unmapped. Any bits are a number.
        Ok(SharedNumber(unsafe { number.as_ref() }))
    }

    /// Stores the number, before whatever this thread does next.
    pub(crate) fn store(self, number: u64) {
        self.0.store(number, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_stores_the_other_reads() {
        let file = create().unwrap();
        let number = SharedNumber::map(file.as_fd()).unwrap();
        let file = File::from(file);
        assert_eq!(read(&file).unwrap(), 0);
        number.store(u64::MAX - 1);
        assert_eq!(read(&file).unwrap(), u64::MAX - 1);
        assert!(file.set_len(0).is_err());
    }
}
