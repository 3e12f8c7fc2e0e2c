//! Messages with descriptors, a pidfd of one's own, and a program by `vfork`: system calls
//! as a C program makes them, without an allocation and without a check that a library
//! would need.

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::{mem, ptr};

/// Room for two descriptors, aligned as their header.
#[repr(align(8))]
struct Control([u8; 64]);

/// Sends bytes and descriptors, up to two (sendmsg(2)).
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    assert!((1..=2).contains(&fds.len()), "there is room for two");
    let mut control = Control([0; 64]);
    let mut slice = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let size = size_of_val(fds) as u32;
    // SAFETY: the header is in `control`, which has room for two descriptors and their
    // header, as was asserted; a `BorrowedFd` is its number. The kernel only reads.
    let sent = unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        let data = libc::CMSG_DATA(header);
        ptr::copy_nonoverlapping(fds.as_ptr().cast(), data, size as usize);
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    };
    match usize::try_from(sent) {
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Receives bytes and so many descriptors (recvmsg(2)). `None`: the end.
pub(crate) fn receive<const COUNT: usize>(
    socket: BorrowedFd<'_>,
) -> io::Result<Option<[OwnedFd; COUNT]>> {
    assert!(COUNT <= 2, "there is room for two");
    let (mut bytes, mut control) = ([0u8; 256], Control([0; 64]));
    let mut slice = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let mut fds: [c_int; COUNT] = [-1; COUNT];
    // SAFETY: the kernel writes to `bytes` and `control`, up to their lengths, and the
    // first header is read only if it has as many descriptors as are copied.
    let received = unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len() as _;
        let flags = libc::MSG_CMSG_CLOEXEC;
        let received = libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags);
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let size = size_of_val(&fds);
        if !header.is_null() && (*header).cmsg_len as usize == libc::CMSG_LEN(size as u32) as usize
        {
            ptr::copy_nonoverlapping(libc::CMSG_DATA(header), fds.as_mut_ptr().cast(), size);
        }
        received
    };
    match received {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ if fds.contains(&-1) => Err(io::ErrorKind::InvalidData.into()),
        // SAFETY: the kernel has opened them for this process, and nobody else has them.
        _ => Ok(Some(fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))),
    }
}

/// A pidfd of this process (pidfd_open(2)).
pub(crate) fn own_pidfd() -> io::Result<OwnedFd> {
    // SAFETY: neither call has preconditions.
    match unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has opened it, and nobody else has it.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) }),
    }
}

/// Forks (fork(2)). 0 is the child.
///
/// # Safety
///
/// This process has one thread.
pub(crate) unsafe fn fork() -> io::Result<libc::pid_t> {
    // SAFETY: the caller's.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

/// Leaves this process (_exit(2)).
pub(crate) fn exit() -> ! {
    // SAFETY: it has no preconditions.
    unsafe { libc::_exit(0) }
}

/// Waits for a child: its status (waitpid(2)).
pub(crate) fn reap(pid: libc::pid_t) -> io::Result<c_int> {
    let mut status = 0;
    // SAFETY: the kernel writes the status.
    match unsafe { libc::waitpid(pid, &raw mut status, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(status),
    }
}

/// Executes a program in a child that has this process's memory until then
/// (`CLONE_VM | CLONE_VFORK`, clone(2)).
pub(crate) fn vfork_and_exec(program: &CStr) -> io::Result<libc::pid_t> {
    extern "C" fn execute(program: *mut c_void) -> c_int {
        let program = program.cast::<libc::c_char>();
        let (arguments, environment) = ([program.cast_const(), ptr::null()], [ptr::null()]);
        // SAFETY: all three end with a null, and _exit has no preconditions.
        unsafe {
            libc::execve(program, arguments.as_ptr(), environment.as_ptr());
            libc::_exit(127)
        }
    }
    let mut stack = [0u128; 512];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let argument = program.as_ptr().cast_mut().cast();
    // SAFETY: the child runs on a stack of its own, which this thread, waiting until the
    // child has executed or left, keeps; it only makes system calls.
    let pid = unsafe {
        libc::clone(
            execute,
            stack.as_mut_ptr_range().end.cast(),
            flags,
            argument,
        )
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}
