//! Bytes in anonymous memory, for another process to read (memfd_create(2)).
//! RUNS IN: caller, child

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::sys::fd::above_standard;

/// A memory file that holds `bytes` (memfd_create(2)).
pub(crate) fn store(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"anyfork arguments", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    above_standard(file.into())
}

/// Reads a memory file of `len` bytes from its beginning (pread(2)).
pub(crate) fn load(file: OwnedFd, len: u64) -> io::Result<Vec<u8>> {
    let file = File::from(file);
    let has = file.metadata()?.len();
    if has != len {
        let message = format!("{has} bytes of arguments came instead of {len}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut bytes = Vec::new();
    let wanted = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes
        .try_reserve_exact(wanted)
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    AtStart { file, offset: 0 }.read_to_end(&mut bytes)?;
    Ok(bytes)
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
    use super::*;

    #[test]
    fn what_is_stored_is_loaded() {
        let bytes: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
        let file = store(&bytes).unwrap();
        assert_eq!(load(file.try_clone().unwrap(), 1_000_000).unwrap(), bytes);
        assert!(load(file, 1_000_001).is_err());
    }
}
