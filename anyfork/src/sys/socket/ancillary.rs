//! What comes beside a message's bytes: descriptors, and who has sent it (cmsg(3)).
//! RUNS IN: any
//!
//! Every received descriptor is owned before anything can return.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Maximum number of descriptors that the kernel takes with one message
/// (`SCM_MAX_FD`, unix(7)).
pub(crate) const MAX_FDS: usize = 253;

/// Who has sent a message, as the kernel tells it (`SCM_CREDENTIALS`, unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    /// The pid of the process; 0 if the process is in a pid namespace that the receiver
    /// does not see.
    pub(crate) pid: u32,
    /// The real user id.
    pub(crate) user: u32,
}

/// Room for a control message with the most descriptors, and one with the sender's
/// credentials, aligned.
#[repr(align(8))]
pub(crate) struct Control(MaybeUninit<[u8; ROOM]>);

pub(crate) const ROOM: usize =
    // SAFETY: CMSG_SPACE only computes.
    unsafe {
        libc::CMSG_SPACE((MAX_FDS * size_of::<RawFd>()) as u32) as usize
            + libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) as usize
    };

impl Control {
    pub(crate) fn new() -> Control {
        Control(MaybeUninit::uninit())
    }

    /// The header of a message with all of this room.
    pub(crate) fn header(&mut self, slice: &mut libc::iovec) -> libc::msghdr {
        // SAFETY: all-zero is a valid msghdr: null pointers with zero lengths.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = slice;
        header.msg_iovlen = 1;
        header.msg_control = self.0.as_mut_ptr().cast();
        header.msg_controllen = ROOM as _;
        header
    }
}

/// Takes the descriptors, and the sender, out of a header that recvmsg has filled.
pub(crate) fn take_control(header: &libc::msghdr, fds: &mut Vec<OwnedFd>) -> Option<Sender> {
    let mut sender = None;
    // SAFETY: recvmsg set msg_control and msg_controllen to what it wrote.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: a header that CMSG_FIRSTHDR or CMSG_NXTHDR gives is complete.
    while let Some(message) = unsafe { next.as_ref() } {
        if (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: the message is complete, so its data follows it.
            let data = unsafe { libc::CMSG_DATA(next) }.cast::<RawFd>();
            // SAFETY: only computes.
            let empty = unsafe { libc::CMSG_LEN(0) } as usize;
            #[allow(clippy::unnecessary_cast, reason = "it is a u32 with musl")]
            let count = (message.cmsg_len as usize - empty) / size_of::<RawFd>();
            let before = fds.len();
            for i in 0..count {
                // SAFETY: recvmsg wrote `count` descriptors there.
                let fd = unsafe { ptr::read_unaligned(data.add(i)) };
                // SAFETY: recvmsg made it, and it is taken here once.
                fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
            // The number of a closed standard stream stays free, unless the table
            // has no other.
            for fd in &mut fds[before..] {
                if fd.as_raw_fd() <= 2
                    && let Ok(moved) = fd.try_clone()
                {
                    *fd = moved;
                }
            }
        }
        if (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) {
            // SAFETY: the message is complete, so credentials follow it.
            let credentials = unsafe { libc::CMSG_DATA(next) }.cast::<libc::ucred>();
            // SAFETY: recvmsg wrote them there.
            let credentials = unsafe { ptr::read_unaligned(credentials) };
            sender = Some(Sender {
                pid: credentials.pid.cast_unsigned(),
                user: credentials.uid,
            });
        }
        // SAFETY: `next` is a header of this message.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    sender
}
