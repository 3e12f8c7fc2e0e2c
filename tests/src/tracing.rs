//! A process that is traced (ptrace(2)), so that a test can stop it between two of its steps.

use std::io;
use std::ptr;

/// A process that this thread traces, and that goes on only as it is told.
pub struct Traced(u32);

impl Traced {
    /// Traces a process that waits for a message, and lets it wait on. `None`, and it says
    /// so: this process may not.
    pub fn receiver(pid: u32) -> Option<Traced> {
        let traced = Traced(pid);
        if traced.request(libc::PTRACE_SEIZE, 0).is_err() {
            eprintln!("skipped: this process may not trace");
            return None;
        }
        traced
            .request(libc::PTRACE_INTERRUPT, 0)
            .expect("it is traced");
        traced.must_stop();
        // The kernel begins the interrupted call again.
        traced.must_reach_call();
        traced
            .request(libc::PTRACE_SYSCALL, 0)
            .expect("it has stopped");
        Some(traced)
    }

    /// Waits until the process has received a message, and has done nothing else.
    pub fn must_have_received(&self) {
        self.must_stop();
    }

    /// Ends the process where it is.
    pub fn kill(self) {
        crate::send_signal(self.0, libc::SIGKILL);
        self.wait();
    }

    /// Lets the process go on.
    pub fn let_go(self) {
        self.request(libc::PTRACE_DETACH, 0)
            .expect("it has stopped");
    }

    fn must_reach_call(&self) {
        self.request(libc::PTRACE_SYSCALL, 0)
            .expect("it has stopped");
        self.must_stop();
    }

    fn must_stop(&self) {
        assert!(libc::WIFSTOPPED(self.wait()), "it has ended");
    }

    fn wait(&self) -> i32 {
        let (pid, mut status) = (self.0 as libc::pid_t, 0);
        // SAFETY: writes to a local.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        assert_eq!(waited, pid, "{}", io::Error::last_os_error());
        status
    }

    fn request(&self, request: libc::c_uint, data: usize) -> io::Result<()> {
        let pid = self.0 as libc::pid_t;
        let nothing = ptr::null_mut::<libc::c_void>();
        // SAFETY: traces a process of the test's; none of the requests writes here.
        match unsafe { libc::ptrace(request as _, pid, nothing, data) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}
