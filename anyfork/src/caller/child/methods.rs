//! What the handles of a running process have in common, async and blocking.

/// The methods of a `Child` that do not wait, for both of the types that have
/// the field `running`.
macro_rules! child_methods {
    () => {
        /// The process's pid. Once the process has ended the kernel may give the
        /// number to another; the methods here never reach that one.
        #[doc(alias = "id")]
        pub fn pid(&self) -> u32 {
            self.running.pid()
        }

        /// Sends a signal, by its number (signal(7)). A process that has ended
        /// already is no error.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Io`](crate::ErrorKind::Io) if there is no such signal, or
        /// the kernel refuses, as for a process of another user.
        pub fn signal(&self, signal: i32) -> Result<()> {
            self.running.signal(signal)
        }

        /// Sends a signal to the process group that the process leads: one that
        /// was started with [`process_group(0)`](crate::Process::process_group).
        /// Reaches what is left of the group also after its leader has ended. A
        /// group that is empty is no error.
        ///
        /// # Errors
        ///
        /// As [`signal`](Self::signal).
        ///
        /// # Caveats
        ///
        /// Before Linux 6.9, the group of a leader that has ended is not reached.
        pub fn signal_group(&self, signal: i32) -> Result<()> {
            self.running.signal_group(signal)
        }

        /// Sends SIGKILL, and does not wait for the end. A process that has ended
        /// already is no error.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the kernel refuses, as for a
        /// process of another user.
        pub fn start_kill(&mut self) -> Result<()> {
            self.running.signal(libc::SIGKILL)
        }
    };
}
pub(crate) use child_methods;

/// The same, forwarded by a `Worker`.
macro_rules! worker_methods {
    () => {
        /// The process's pid.
        #[doc(alias = "id")]
        pub fn pid(&self) -> u32 {
            self.child.pid()
        }

        /// Sends a signal: [`Child::signal`].
        ///
        /// # Errors
        ///
        /// As there.
        pub fn signal(&self, signal: i32) -> Result<()> {
            self.child.signal(signal)
        }

        /// Sends a signal to the process's group: [`Child::signal_group`].
        ///
        /// # Errors
        ///
        /// As there.
        pub fn signal_group(&self, signal: i32) -> Result<()> {
            self.child.signal_group(signal)
        }

        /// Ends the process with SIGKILL: [`Child::start_kill`].
        ///
        /// # Errors
        ///
        /// As there.
        pub fn start_kill(&mut self) -> Result<()> {
            self.child.start_kill()
        }
    };
}
pub(crate) use worker_methods;
