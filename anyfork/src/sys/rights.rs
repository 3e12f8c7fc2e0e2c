//! What a process is, as far as it decides what the process may do.
//! RUNS IN: caller, program before main
//!
//! A template keeps the rights that its program had when the template was made.
//! The caller compares [`Rights::now`] with those before it asks such a template,
//! so that a program that has given rights up does not get them back through its
//! children. Nothing here changes anything.

use std::io;

use nix::unistd::{getresgid, getresuid};

/// Users, groups, capabilities, confinement and root directory of the calling
/// thread. Other namespaces than that of mounts are not looked at: each would cost
/// as much as all of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    quick: Quick,
    /// The capabilities that a program can have at most which is executed. `None`:
    /// not looked at, because each of some 41 is a system call.
    bounding: Option<u64>,
}

/// What a few system calls tell.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Quick {
    /// Real, effective and saved user id.
    users: [u32; 3],
    /// The same of the group id.
    groups: [u32; 3],
    supplementary_groups: Vec<u32>,
    capabilities: Capabilities,
    no_new_privileges: i32,
    /// 0: none. Other filters on top of a first one do not change it.
    seccomp_mode: i32,
    root: Root,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Capabilities {
    effective: u64,
    permitted: u64,
    inheritable: u64,
    /// What a program that is executed keeps without being privileged.
    ambient: u64,
    /// Whether being root means anything (`PR_GET_SECUREBITS`).
    secure_bits: i32,
}

/// The root directory: chroot(2) changes the inode, another mount namespace or
/// pivot_root(2) the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Root {
    device: [u32; 2],
    inode: u64,
    mount: u64,
}

impl Rights {
    /// The calling thread's rights, without the bounding set: some nine system
    /// calls.
    pub(crate) fn now() -> io::Result<Rights> {
        let (users, groups) = (getresuid()?, getresgid()?);
        let quick = Quick {
            users: [users.real, users.effective, users.saved].map(|id| id.as_raw()),
            groups: [groups.real, groups.effective, groups.saved].map(|id| id.as_raw()),
            supplementary_groups: supplementary_groups()?,
            capabilities: Capabilities::now()?,
            no_new_privileges: ask(libc::PR_GET_NO_NEW_PRIVS, 0),
            seccomp_mode: ask(libc::PR_GET_SECCOMP, 0),
            root: Root::now()?,
        };
        Ok(Rights {
            quick,
            bounding: None,
        })
    }

    /// The calling thread's rights, with the bounding set: to compare others with.
    pub(crate) fn all_now() -> io::Result<Rights> {
        let bounding = those(|capability| ask(libc::PR_CAPBSET_READ, capability));
        Ok(Rights::now()?.with_bounding(bounding))
    }

    /// These rights with the bounding set, which was read elsewhere.
    pub(crate) fn with_bounding(self, bounding: u64) -> Rights {
        Rights {
            bounding: Some(bounding),
            ..self
        }
    }

    /// Whether both are the same, as far as both were looked at.
    pub(crate) fn are_those_of(&self, other: &Rights) -> bool {
        let same_bounding = match (self.bounding, other.bounding) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        same_bounding && self.quick == other.quick
    }
}

/// The supplementary groups, in the kernel's order (getgroups(2)).
fn supplementary_groups() -> io::Result<Vec<u32>> {
    let mut room = [0; 64];
    // SAFETY: fills at most the local that it is given the length of.
    let count = unsafe { libc::getgroups(room.len() as libc::c_int, room.as_mut_ptr()) };
    match usize::try_from(count) {
        Ok(count) => Ok(room[..count].to_vec()),
        // There are more than 64.
        Err(_) => {
            let all = nix::unistd::getgroups()?.into_iter();
            Ok(all.map(|id| id.as_raw()).collect())
        }
    }
}

impl Capabilities {
    fn now() -> io::Result<Capabilities> {
        let mut found = Capabilities::default();
        let [low, high] = capget()?;
        let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        found.effective = join(low.effective, high.effective);
        found.permitted = join(low.permitted, high.permitted);
        found.inheritable = join(low.inheritable, high.inheritable);
        found.secure_bits = ask(libc::PR_GET_SECUREBITS, 0);
        // The ambient set is part of both, and so is most often empty.
        if found.permitted & found.inheritable != 0 {
            found.ambient = those(|capability| {
                // SAFETY: takes numbers.
                unsafe {
                    libc::prctl(
                        libc::PR_CAP_AMBIENT,
                        libc::PR_CAP_AMBIENT_IS_SET as libc::c_ulong,
                        capability,
                        0 as libc::c_ulong,
                        0 as libc::c_ulong,
                    )
                }
            });
        }
        Ok(found)
    }
}

/// The set of capabilities that the kernel answers 1 for. It knows no further
/// ones where it answers with an error.
fn those(ask: impl Fn(libc::c_ulong) -> i32) -> u64 {
    let answers = (0..64).map(ask).take_while(|answer| *answer >= 0);
    (0..).zip(answers).fold(0, |set, (capability, answer)| {
        set | (u64::from(answer == 1) << capability)
    })
}

/// A number that the kernel tells of the calling thread, or -1 (prctl(2)).
fn ask(option: libc::c_int, argument: libc::c_ulong) -> i32 {
    let none = 0 as libc::c_ulong;
    // SAFETY: takes numbers.
    unsafe { libc::prctl(option, argument, none, none, none) }
}

/// Half of the three sets (capget(2)).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The calling thread's capability sets, the lower 32 capabilities first
/// (capget(2)).
fn capget() -> io::Result<[Half; 2]> {
    /// `_LINUX_CAPABILITY_VERSION_3`.
    const VERSION: u32 = 0x2008_0522;
    let (header, mut halves) = ([VERSION, 0], [Half::default(); 2]);
    // SAFETY: reads a header and fills two structures, all of the kernel's layout.
    match unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), halves.as_mut_ptr()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(halves),
    }
}

impl Root {
    /// The root directory of the calling thread (statx(2)).
    fn now() -> io::Result<Root> {
        /// What is wanted of the kernel's `struct statx`, at its places.
        #[repr(C)]
        #[derive(Default)]
        struct Found {
            mask: u32,
            _before: [u32; 7],
            inode: u64,
            _between: [u64; 12],
            device: [u32; 2],
            mount: u64,
            _rest: [u64; 13],
        }
        const _: () = assert!(size_of::<Found>() == 256);
        const STATX_INO: u32 = 0x100;
        /// Linux 5.8; older kernels leave the field 0.
        const STATX_MNT_ID: u32 = 0x1000;
        let mut found = Found::default();
        // SAFETY: reads a C string and fills a local of the kernel's size.
        let asked = unsafe {
            libc::syscall(
                libc::SYS_statx,
                libc::AT_FDCWD,
                c"/".as_ptr(),
                0,
                STATX_INO | STATX_MNT_ID,
                &raw mut found,
            )
        };
        match asked {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(Root {
                device: found.device,
                inode: found.inode,
                mount: found.mount,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::thread;

    use super::*;

    #[test]
    fn rights_are_what_the_kernel_says_elsewhere() {
        let rights = Rights::all_now().unwrap();
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().to_owned()
        };
        let set = |name| u64::from_str_radix(&field(name), 16).unwrap();
        let Rights { quick, bounding } = rights;
        assert_eq!(quick.capabilities.effective, set("CapEff:"));
        assert_eq!(quick.capabilities.permitted, set("CapPrm:"));
        assert_eq!(quick.capabilities.inheritable, set("CapInh:"));
        assert_eq!(quick.capabilities.ambient, set("CapAmb:"));
        assert_eq!(bounding, Some(set("CapBnd:")));
        assert_eq!(quick.no_new_privileges.to_string(), field("NoNewPrivs:"));
        assert_eq!(quick.seccomp_mode.to_string(), field("Seccomp:"));
        let users = quick.users.map(|id| id.to_string()).join("\t");
        assert!(field("Uid:").starts_with(&users), "{users}");
        let groups = quick.supplementary_groups.iter().map(u32::to_string);
        assert_eq!(groups.collect::<Vec<_>>().join(" "), field("Groups:"));
        assert_eq!(quick.root.inode, std::fs::metadata("/").unwrap().ino());
    }

    #[test]
    fn a_thread_that_gives_something_up_has_other_rights() {
        let before = Rights::all_now().unwrap();
        assert!(Rights::now().unwrap().are_those_of(&before));
        let other = thread::spawn(|| {
            assert_eq!(ask(libc::PR_SET_NO_NEW_PRIVS, 1), 0);
            Rights::now().unwrap()
        });
        assert!(!other.join().unwrap().are_those_of(&before));
        assert!(Rights::now().unwrap().are_those_of(&before));
        let fewer = before.clone().with_bounding(0);
        assert!(!fewer.are_those_of(&before) && Rights::now().unwrap().are_those_of(&fewer));
    }
}
