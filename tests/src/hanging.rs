//! A file system that hangs: whoever looks a name up waits until the test answers.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A FUSE mount without a file system behind it (fuse(4)). Unmounted when it is dropped,
/// which ends all waiting.
pub struct Hanging {
    folder: PathBuf,
    device: File,
}

/// Somebody who looks a name up, and waits.
pub struct Lookup {
    /// The thread that waits.
    pub pid: u32,
    unique: u64,
}

const LOOKUP: u32 = 1;
const INIT: u32 = 26;

impl Hanging {
    /// Mounts one below `parent`. An error where that is not allowed.
    pub fn mount(parent: &str) -> io::Result<Hanging> {
        let folder = PathBuf::from(parent).join(format!("hanging-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let device = device.inspect_err(|_| drop(fs::remove_dir(&folder)))?;
        let number = device.as_raw_fd();
        let options = format!("fd={number},rootmode=40755,user_id=0,group_id=0,allow_other");
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let mounted = mount(
            Some("anyfork"),
            &folder,
            Some("fuse"),
            flags,
            Some(&options[..]),
        );
        mounted.inspect_err(|_| drop(fs::remove_dir(&folder)))?;
        let mut hanging = Hanging { folder, device };
        let (opcode, lookup) = hanging.next()?;
        assert_eq!(opcode, INIT);
        let mut answer = [0; 64];
        // Version 7.31, and lookups in parallel.
        for (at, number) in [
            (0, 7u32),
            (4, 31),
            (8, 4096),
            (12, 1 << 18),
            (20, 4096),
            (24, 1),
        ] {
            answer[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        hanging.answer(&lookup, 0, &answer)?;
        Ok(hanging)
    }

    /// A name in it. Who looks up the same as another waits for the other.
    pub fn name(&self, number: usize) -> PathBuf {
        self.folder.join(number.to_string())
    }

    /// Waits until somebody looks the name up.
    pub fn lookup(&mut self) -> Lookup {
        loop {
            let (opcode, lookup) = self.next().expect("a request");
            if opcode == LOOKUP {
                return lookup;
            }
        }
    }

    /// Tells who waits that there is an error.
    pub fn fail(&mut self, lookup: &Lookup, errno: i32) {
        self.answer(lookup, errno, &[]).expect("an answer");
    }

    fn next(&mut self) -> io::Result<(u32, Lookup)> {
        let mut request = vec![0; 1 << 17];
        let len = self.device.read(&mut request)?;
        assert!(len >= 40, "a head");
        let number = |at: usize| u32::from_le_bytes(request[at..at + 4].try_into().unwrap());
        let unique = u64::from(number(8)) | u64::from(number(12)) << 32;
        let pid = number(32);
        Ok((number(4), Lookup { pid, unique }))
    }

    fn answer(&mut self, lookup: &Lookup, errno: i32, body: &[u8]) -> io::Result<()> {
        let mut bytes = (16 + body.len() as u32).to_le_bytes().to_vec();
        bytes.extend((-errno).to_le_bytes());
        bytes.extend(lookup.unique.to_le_bytes());
        bytes.extend(body);
        self.device.write_all(&bytes)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = umount2(&self.folder, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.folder);
    }
}
