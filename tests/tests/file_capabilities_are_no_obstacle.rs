//! A program whose file has capabilities (`setcap`) has an early template, which serves it
//! with these. What would have to be executed is refused: it would get the capabilities
//! from its file, whoever executes it.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyfork_tests::births::{Folder, succeed};
use anyfork_tests::rights::{NOBODY, may_become_nobody};
use nix::sys::statvfs::{FsFlags, statvfs};

/// To use port 80, and no danger to anybody (capabilities(7)).
const NET_BIND_SERVICE: u32 = 10;

/// Gives a file the capability, permitted and effective (setxattr(2)).
fn set_capability(file: &Path) -> io::Result<()> {
    // `struct vfs_cap_data` of version 2: `VFS_CAP_FLAGS_EFFECTIVE` in the first number.
    let data = [0x0200_0001u32, 1 << NET_BIND_SERVICE, 0, 0, 0].map(u32::to_le_bytes);
    let data = data.concat();
    let file = CString::new(file.as_os_str().as_bytes())?;
    let name = c"security.capability";
    // SAFETY: reads two C strings, and so many bytes.
    let set = unsafe {
        libc::setxattr(
            file.as_ptr(),
            name.as_ptr(),
            data.as_ptr().cast(),
            data.len(),
            0,
        )
    };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[test]
fn for_an_early_template() {
    if !may_become_nobody() {
        return;
    }
    let parent = std::env::temp_dir();
    let folder = Folder::new(parent.to_str().unwrap(), "anyfork-capabilities");
    if statvfs(&*folder)
        .unwrap()
        .flags()
        .contains(FsFlags::ST_NOSUID)
    {
        eprintln!("skipped: {} gives programs no rights", parent.display());
        return;
    }
    let program = folder.copy(env!("CARGO_BIN_EXE_file_capabilities"), "program");
    if let Err(error) = set_capability(&program) {
        eprintln!("skipped: no capabilities of files: {error}");
        return;
    }
    let text = succeed(Command::new(&program).uid(NOBODY).gid(NOBODY));
    let mut lines = text.lines().map(|line| line.split_once(": ").unwrap());
    let mut next = |name: &str| {
        let (found, text) = lines.next().unwrap();
        assert_eq!(found, name);
        text.to_owned()
    };
    let own = next("program");
    let bit = u64::from_str_radix(own.trim_matches('"'), 16).unwrap();
    assert_eq!(bit, 1 << NET_BIND_SERVICE, "{text}");
    for name in ["early", "new"] {
        assert_eq!(next(name), format!("Ok({own})"));
    }
    for name in ["exec", "without"] {
        let refused = next(name);
        assert!(refused.starts_with("Err(ExecFailed: "), "{refused}");
        assert!(refused.contains("raised rights (AT_SECURE)"), "{refused}");
    }
}
