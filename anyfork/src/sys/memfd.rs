//! Bytes in anonymous memory, for another process to read (memfd_create(2)).
//! RUNS IN: caller, child
//!
//! The sender seals the file, and the receiver takes no other: a file that can change
//! could shrink or grow while it is read, and a device or a pipe has no end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;

use crate::sys::fd::above_standard;
use crate::sys::missing;
use crate::sys::signal::CaughtSignal;

/// What nobody may do with the file once it is stored.
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_WRITE)
    .union(SealFlag::F_SEAL_SEAL);

/// A memory file that holds `bytes`, and that nobody can change (memfd_create(2),
/// `F_ADD_SEALS`, fcntl(2)).
///
/// Above `RLIMIT_FSIZE` this is an error, and raises no SIGXFSZ.
pub(crate) fn store(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = memfd_create(c"anyfork arguments", flags);
    let mut file = File::from(file.map_err(|errno| missing::MEMFD_CREATE.error(errno.into()))?);
    {
        let _caught = CaughtSignal::new(Signal::SIGXFSZ)?;
        file.write_all(bytes)?;
    }
    fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
    above_standard(file.into())
}

/// Reads a memory file of `len` bytes, which must be sealed, from its beginning
/// (pread(2)).
pub(crate) fn load(file: BorrowedFd<'_>, len: u64) -> io::Result<Vec<u8>> {
    let refuse = |message: String| Err(io::Error::new(io::ErrorKind::InvalidData, message));
    if !is_sealed(file) {
        return refuse("they did not come in a sealed memory file".to_owned());
    }
    let file = File::from(file.try_clone_to_owned()?);
    let has = file.metadata()?.len();
    if has != len {
        return refuse(format!("{has} bytes of arguments came instead of {len}"));
    }
    let mut bytes = Vec::new();
    let wanted = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes
        .try_reserve_exact(wanted)
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    AtStart { file, offset: 0 }
        .take(len)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether this is a memory file that nobody can change (`F_GET_SEALS`, fcntl(2)).
fn is_sealed(file: BorrowedFd<'_>) -> bool {
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_retain);
    seals.is_ok_and(|seals| seals.contains(SEALS))
}

/// Reads a file from its beginning without moving the position, which the writer
/// shares (pread(2)).
struct AtStart {
    file: File,
    offset: u64,
}

impl Read for AtStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_stored_is_loaded() {
        let bytes: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
        let file = store(&bytes).unwrap();
        assert_eq!(load(file.as_fd(), 1_000_000).unwrap(), bytes);
        for len in [0, 999_999, 1_000_001, u64::MAX] {
            assert!(load(file.as_fd(), len).is_err());
        }
        // Nobody changes it any more.
        let file = File::from(file);
        assert!(file.set_len(7).is_err() && (&file).write_all(b"x").is_err());
    }

    #[test]
    fn what_can_change_or_has_no_end_is_refused() {
        let sealing = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut unsealed = File::from(memfd_create(c"unsealed", sealing).unwrap());
        unsealed.write_all(&[7; 100]).unwrap();
        let half = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
        let half_sealed = File::from(memfd_create(c"half sealed", sealing).unwrap());
        half_sealed.set_len(100).unwrap();
        fcntl(&half_sealed, FcntlArg::F_ADD_SEALS(half)).unwrap();
        let (pipe, mut writer) = io::pipe().unwrap();
        writer.write_all(&[7; 100]).unwrap();
        for file in [
            unsealed.into(),
            half_sealed.into(),
            pipe.into(),
            File::open("/dev/zero").unwrap().into(),
            File::open("/proc/self/exe").unwrap().into(),
        ] {
            let error = load(OwnedFd::as_fd(&file), 100).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }
}
