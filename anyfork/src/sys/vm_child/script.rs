//! [`Script`]: what a child does from the clone to the exec, laid out before.
//! RUNS IN: template
//!
//! The child [runs](crate::sys::vm_child::run) it. How it answers is the caller's business,
//! who gives functions for that.

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::RawFd;
use std::ptr;

use crate::sys::vm_child::region::Region;
use crate::sys::vm_child::task::{
    Call, Failure, Frames, Items, NEVER, Task, Text, error_texts, missing_texts,
};

/// What is laid out so far.
pub(crate) struct Script {
    region: Region,
    calls: Vec<Call>,
    last_calls: Vec<Call>,
    paths: Vec<*const c_char>,
    args: Vec<*const c_char>,
    variables: *const *const c_char,
    socket: RawFd,
    frames: Frames,
    not_told: Failure,
    exec: Failure,
    start: Text,
}

/// What happens with a signal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Default,
    Ignored,
}

impl Script {
    /// An empty script of a child that answers on this socket. `start` stands before the
    /// texts that name the program, and `exec` says what the exec is.
    pub(crate) fn new(
        mut region: Region,
        socket: RawFd,
        frames: Frames,
        start: &str,
        exec: &str,
        not_told: Failure,
    ) -> io::Result<Script> {
        region.clear();
        let (start, exec) = (
            Text::put(&mut region, start)?,
            Text::put(&mut region, exec)?,
        );
        Ok(Script {
            region,
            calls: Vec::with_capacity(32),
            last_calls: Vec::new(),
            paths: Vec::new(),
            args: Vec::new(),
            variables: ptr::null(),
            socket,
            frames,
            not_told,
            exec: Failure {
                text: exec,
                names_program: false,
            },
            start,
        })
    }

    /// Lays a text out.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<Text> {
        Text::put(&mut self.region, text)
    }

    fn call(&mut self, number: libc::c_long, args: [usize; 6], failure: Failure) -> &mut Call {
        push(&mut self.calls, number, args, failure)
    }

    /// Duplicates a descriptor to another number (dup3(2)).
    pub(crate) fn duplicate(&mut self, from: RawFd, to: RawFd, failure: Failure) {
        self.call(libc::SYS_dup3, numbers([from, to, 0]), failure);
    }

    /// The same, and exec closes the duplicate.
    pub(crate) fn move_to(&mut self, from: RawFd, to: RawFd, failure: Failure) {
        let args = numbers([from, to, libc::O_CLOEXEC]);
        self.call(libc::SYS_dup3, args, failure);
    }

    /// [`duplicate`](Script::duplicate) when the child has answered.
    pub(crate) fn duplicate_last(&mut self, from: RawFd, to: RawFd, failure: Failure) {
        let args = numbers([from, to, 0]);
        push(&mut self.last_calls, libc::SYS_dup3, args, failure);
    }

    /// The child answers on this number from now on.
    pub(crate) fn move_socket(&mut self, to: RawFd, failure: Failure) {
        self.move_to(self.socket, to, failure);
        self.socket = to;
    }

    /// Makes exec close the descriptor (fcntl(2)).
    pub(crate) fn close_on_exec(&mut self, fd: RawFd, failure: Failure) {
        let args = numbers([fd, libc::F_SETFD, libc::FD_CLOEXEC]);
        self.call(libc::SYS_fcntl, args, failure);
    }

    /// Closes all descriptors above 2 but these, which are sorted (close_range(2)).
    pub(crate) fn close_others(&mut self, kept: &[RawFd], failure: Failure) {
        let mut first = 3;
        for last in kept.iter().map(|fd| fd - 1).chain([RawFd::MAX]) {
            if first <= last {
                let args = numbers([first, last, 0]);
                let call = self.call(libc::SYS_close_range, args, failure);
                call.missing = Some(missing_texts()[0]);
            }
            first = first.max(last.saturating_add(2));
        }
    }

    /// Enters an open directory (fchdir(2)).
    pub(crate) fn enter(&mut self, directory: RawFd, failure: Failure) {
        self.call(libc::SYS_fchdir, numbers([directory, 0, 0]), failure);
    }

    /// Enters a directory (chdir(2)).
    pub(crate) fn enter_path(&mut self, path: &CStr, failure: Failure) -> io::Result<()> {
        let path = self.region.put(path.to_bytes_with_nul())?;
        self.call(libc::SYS_chdir, [path.addr(), 0, 0, 0, 0, 0], failure);
        Ok(())
    }

    /// Makes a session of its own (setsid(2)).
    pub(crate) fn new_session(&mut self, failure: Failure) {
        self.call(libc::SYS_setsid, [0; 6], failure);
    }

    /// Makes the terminal that of the session (`TIOCSCTTY`, ioctl_tty(2)).
    pub(crate) fn set_terminal(&mut self, terminal: RawFd, failure: Failure) {
        let args = [terminal as usize, libc::TIOCSCTTY as usize, 0, 0, 0, 0];
        self.call(libc::SYS_ioctl, args, failure);
    }

    /// Makes the directory the root directory and the current one (chroot(2)).
    pub(crate) fn change_root(&mut self, path: &CString, failure: Failure) -> io::Result<()> {
        let path = self.region.put(path.as_bytes_with_nul())?;
        self.call(libc::SYS_chroot, [path.addr(), 0, 0, 0, 0, 0], failure);
        self.enter_path(c"/", failure)
    }

    /// Keeps the program from having more rights (`PR_SET_NO_NEW_PRIVS`, prctl(2)).
    pub(crate) fn set_no_new_privs(&mut self, failure: Failure) {
        let args = numbers([libc::PR_SET_NO_NEW_PRIVS, 1, 0]);
        self.call(libc::SYS_prctl, args, failure);
    }

    /// Joins a process group (setpgid(2)).
    pub(crate) fn join_group(&mut self, group: i32, failure: Failure) {
        self.call(libc::SYS_setpgid, numbers([0, group, 0]), failure);
    }

    /// Sets the limits of a resource (prlimit(2)).
    pub(crate) fn limit(
        &mut self,
        resource: u32,
        limits: (u64, u64),
        failure: Failure,
    ) -> io::Result<()> {
        let limits = self.region.put(&[limits.0, limits.1])?;
        let args = [0, resource as usize, limits.addr(), 0, 0, 0];
        self.call(libc::SYS_prlimit64, args, failure);
        Ok(())
    }

    /// Sets the nice value (setpriority(2)).
    pub(crate) fn nice(&mut self, value: i32, failure: Failure) {
        let args = numbers([libc::PRIO_PROCESS as i32, 0, value]);
        self.call(libc::SYS_setpriority, args, failure);
    }

    /// The same as a step of nice(3), which has another error.
    pub(crate) fn add_nice(&mut self, value: i32, failure: Failure) {
        self.nice(value, failure);
        if let Some(call) = self.calls.last_mut() {
            call.is_nice = true;
        }
    }

    /// Sets the processors (sched_setaffinity(2)).
    pub(crate) fn affinity(&mut self, set: &[u8], failure: Failure) -> io::Result<()> {
        let at = self.region.put(set)?;
        let args = [0, set.len(), at.addr(), 0, 0, 0];
        self.call(libc::SYS_sched_setaffinity, args, failure);
        Ok(())
    }

    /// Sets the umask (umask(2)).
    pub(crate) fn umask(&mut self, mask: u32) {
        self.call(libc::SYS_umask, [mask as usize, 0, 0, 0, 0, 0], NEVER);
    }

    /// Sets what happens with a signal (rt_sigaction(2)).
    pub(crate) fn signal(&mut self, signal: i32, disposition: Disposition) {
        /// The kernel's structure begins with the handler.
        static ACTIONS: [[usize; 4]; 2] = [[libc::SIG_DFL, 0, 0, 0], [libc::SIG_IGN, 0, 0, 0]];
        let action = &ACTIONS[usize::from(disposition == Disposition::Ignored)];
        let args = [signal as usize, action.as_ptr().addr(), 0, 8, 0, 0];
        self.call(libc::SYS_rt_sigaction, args, NEVER);
    }

    /// Unblocks all signals (rt_sigprocmask(2)).
    pub(crate) fn unblock_signals(&mut self, failure: Failure) {
        static NONE: u64 = 0;
        let args = [
            libc::SIG_SETMASK as usize,
            (&raw const NONE).addr(),
            0,
            8,
            0,
            0,
        ];
        self.call(libc::SYS_rt_sigprocmask, args, failure);
    }

    /// Appends a path to try.
    pub(crate) fn path(&mut self, path: &CString) -> io::Result<()> {
        let path = self.region.put(path.as_bytes_with_nul())?;
        self.paths.push(path.cast());
        Ok(())
    }

    /// Appends an argument, which has no NUL in it.
    pub(crate) fn arg(&mut self, arg: &[u8]) -> io::Result<()> {
        let at = self.region.put(arg)?;
        self.region.put(&[0u8])?;
        self.args.push(at.cast());
        Ok(())
    }

    /// Sets the environment: texts with a NUL behind each.
    pub(crate) fn environment(&mut self, texts: &[u8]) -> io::Result<()> {
        let at = self.region.put(texts)?;
        let mut pointers = Vec::with_capacity(64);
        let mut rest = texts;
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            let start = texts.len() - rest.len();
            pointers.push(at.wrapping_add(start).cast::<c_char>());
            rest = &rest[end + 1..];
        }
        pointers.push(ptr::null());
        self.variables = self.region.put(&pointers)?;
        Ok(())
    }

    /// Lays out the rest, and gives the region and the task in it.
    pub(super) fn finish(self) -> io::Result<(Region, *const Task)> {
        let Script {
            mut region,
            calls,
            last_calls,
            paths,
            mut args,
            variables,
            socket,
            frames,
            not_told,
            exec,
            start,
        } = self;
        args.push(ptr::null());
        let task = Task {
            calls: Items::put(&mut region, &calls)?,
            last_calls: Items::put(&mut region, &last_calls)?,
            paths: Items::put(&mut region, &paths)?,
            args: region.put(&args)?,
            variables,
            socket,
            frames,
            not_told,
            exec,
            start,
            errors: error_texts(),
            pidfd_missing: missing_texts()[1],
        };
        let task = region.put(&[task])?;
        Ok((region, task))
    }
}

fn push(
    calls: &mut Vec<Call>,
    number: libc::c_long,
    args: [usize; 6],
    failure: Failure,
) -> &mut Call {
    calls.push(Call {
        number,
        args,
        failure,
        is_nice: false,
        missing: None,
    });
    calls.last_mut().expect("pushed above")
}

/// Numbers as a call takes them.
fn numbers(args: [i32; 3]) -> [usize; 6] {
    let [one, two, three] = args.map(|number| number as isize as usize);
    [one, two, three, 0, 0, 0]
}
