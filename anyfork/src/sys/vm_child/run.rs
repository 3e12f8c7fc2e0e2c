//! Runs a script in a child that shares its template's memory.
//! RUNS IN: child
//!
//! Raw system calls, and reads of the script and of texts that never change. What may not
//! happen here: to allocate, lock or panic, to call the C library, to write to memory
//! other than this stack: the template goes on meanwhile, in the same memory.

use std::ffi::c_char;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;

use crate::sys::raw_call::raw_call;
use crate::sys::vm_child::task::{Call, Failure, Task, Text};

/// Interval between two attempts to send a descriptor, and the number of attempts.
const PAUSE_NANOS: libc::c_long = 10_000_000;
const MAX_PAUSES: u32 = 1000;

/// Maximum number of further attempts to execute a file that is being written: over half a
/// second.
const MAX_BUSY_RETRIES: u32 = 9;

/// Runs the script to the exec. If something fails, says so and exits.
///
/// # Safety
///
/// In a child of [`VmChild::start`](crate::sys::vm_child::VmChild::start), for its task.
pub(super) unsafe fn run(task: &Task) -> ! {
    // SAFETY: the region stays as long as this child uses it.
    let (calls, last_calls) = unsafe { (task.calls.get(), task.last_calls.get()) };
    make(task, calls);
    tell_ready(task);
    make(task, last_calls);
    let errno = execute(task);
    fail(task, task.frames.codes[1], task.exec, errno, None)
}

fn make(task: &Task, calls: &[Call]) {
    for call in calls {
        // SAFETY: numbers, and pointers into the region or to what never changes. The
        // descriptors, signals and attributes that are changed are this process's own.
        let result = unsafe { raw_call(call.number, call.args) };
        if let Some(errno) = error_of(result) {
            let errno = match errno {
                libc::EACCES if call.is_nice => libc::EPERM,
                errno => errno,
            };
            fail(
                task,
                task.frames.codes[0],
                call.failure,
                errno,
                call.missing,
            )
        }
    }
}

/// The number of the error that a call has given.
fn error_of(result: isize) -> Option<i32> {
    (-4095..0).contains(&result).then_some(-result as i32)
}

/// Answers that this process is about to execute its program, with a pidfd.
fn tell_ready(task: &Task) {
    // SAFETY: no arguments.
    let pid = unsafe { raw_call(libc::SYS_getpid, [0; 6]) } as usize;
    // SAFETY: takes numbers.
    let pidfd = unsafe { raw_call(libc::SYS_pidfd_open, [pid, 0, 0, 0, 0, 0]) };
    let code = task.frames.codes[0];
    if let Some(errno) = error_of(pidfd) {
        fail(task, code, task.not_told, errno, Some(task.pidfd_missing))
    }
    let frame = (task.frames.ready)(pid as u32);
    let slices = [libc::iovec {
        iov_base: frame.as_ptr().cast_mut().cast(),
        iov_len: frame.len(),
    }];
    let mut pauses_left = MAX_PAUSES;
    loop {
        let errno = match send(task.socket, &slices, Some(pidfd as RawFd)) {
            Ok(sent) if sent == frame.len() => return,
            Ok(_) => libc::EIO,
            Err(libc::ETOOMANYREFS) if pauses_left > 0 => {
                pauses_left -= 1;
                pause(PAUSE_NANOS);
                continue;
            }
            Err(errno) => errno,
        };
        fail(task, code, task.not_told, errno, None)
    }
}

/// Sends the slices, and a descriptor (sendmsg(2)).
fn send(socket: RawFd, slices: &[libc::iovec], fd: Option<RawFd>) -> Result<usize, i32> {
    /// Room for a control message with one descriptor.
    #[repr(C, align(8))]
    struct Control {
        header: libc::cmsghdr,
        fd: RawFd,
        padding: u32,
    }
    // SAFETY: all-zero is a valid structure.
    let mut control: Control = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = slices.as_ptr().cast_mut();
    header.msg_iovlen = slices.len() as _;
    if let Some(fd) = fd {
        control.header.cmsg_level = libc::SOL_SOCKET;
        control.header.cmsg_type = libc::SCM_RIGHTS;
        // SAFETY: CMSG_LEN only computes.
        control.header.cmsg_len = unsafe { libc::CMSG_LEN(mem::size_of::<RawFd>() as u32) } as _;
        control.fd = fd;
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = mem::size_of::<Control>() as _;
    }
    let flags = (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as usize;
    let args = [socket as usize, (&raw const header).addr(), flags, 0, 0, 0];
    loop {
        // SAFETY: the header leads to locals, to the region, and to texts that never
        // change.
        let sent = unsafe { raw_call(libc::SYS_sendmsg, args) };
        match error_of(sent) {
            None => return Ok(sent as usize),
            Some(libc::EINTR) => {}
            Some(errno) => return Err(errno),
        }
    }
}

/// Waits so long, but for a signal (nanosleep(2)).
fn pause(nanos: libc::c_long) {
    let time = [0, nanos];
    let args = [time.as_ptr().addr(), 0, 0, 0, 0, 0];
    // SAFETY: reads a local of the kernel's layout.
    unsafe { raw_call(libc::SYS_nanosleep, args) };
}

/// Executes the program, and gives the error that execvp(3) would: see
/// [`Image::execute`](crate::sys::exec::Image::execute).
fn execute(task: &Task) -> i32 {
    // SAFETY: the region stays as long as this child uses it.
    let paths = unsafe { task.paths.get() };
    let (mut denied, mut last) = (false, libc::ENOENT);
    for path in paths {
        let mut errno = try_execute(task, *path);
        for attempt in 0..MAX_BUSY_RETRIES {
            if errno != libc::ETXTBSY {
                break;
            }
            pause(1_000_000 << attempt);
            errno = try_execute(task, *path);
        }
        match errno {
            libc::EACCES => denied = true,
            libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {
                last = errno;
            }
            errno => return errno,
        }
    }
    match denied {
        true => libc::EACCES,
        false => last,
    }
}

fn try_execute(task: &Task, path: *const c_char) -> i32 {
    let args = [
        path.addr(),
        task.args.addr(),
        task.variables.addr(),
        0,
        0,
        0,
    ];
    // SAFETY: C strings in the region, in arrays that end with a null pointer.
    let result = unsafe { raw_call(libc::SYS_execve, args) };
    error_of(result).unwrap_or(libc::EIO)
}

/// Answers why there will be no program, and exits (exit_group(2)).
fn fail(task: &Task, code: u16, failure: Failure, errno: i32, missing: Option<[Text; 2]>) -> ! {
    let error = match (missing, errno) {
        (Some([text, _]), libc::ENOSYS) | (Some([_, text]), libc::EPERM) => text.slice(),
        _ => match task.errors.get(errno as usize) {
            Some(text) => bytes(text.as_bytes()),
            None => bytes(b"an unknown error"),
        },
    };
    let start = match failure.names_program {
        true => task.start.slice(),
        false => bytes(b""),
    };
    let parts = [start, failure.text.slice(), bytes(b": "), error];
    let mut len = 0;
    for part in &parts {
        len += part.iov_len;
    }
    let head = (task.frames.failed)(code, errno, len);
    let [start, text, colon, error] = parts;
    let _ = send(
        task.socket,
        &[bytes(&head), start, text, colon, error],
        None,
    );
    loop {
        // SAFETY: takes a number, and does not return.
        unsafe { raw_call(libc::SYS_exit_group, [1, 0, 0, 0, 0, 0]) };
    }
}

fn bytes(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: match bytes.is_empty() {
            true => ptr::null_mut(),
            false => bytes.as_ptr().cast_mut().cast(),
        },
        iov_len: bytes.len(),
    }
}
