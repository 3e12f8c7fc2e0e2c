//! The methods that the handles of a child have in common, async and blocking.
//! RUNS IN: caller

/// The methods that do not wait, for the four types that have a field `watch`.
macro_rules! child_methods {
    () => {
        /// The process's pid. Once the process has exited, the kernel may give the number to
        /// another process, which the methods here never reach.
        #[doc(alias = "id")]
        pub fn pid(&self) -> u32 {
            self.watch.pid()
        }

        /// Sends a signal, given by its number (signal(7)). It is no error if the process has
        /// exited already.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Io`](crate::ErrorKind::Io) if there is no such signal, or if the kernel
        /// refuses, for example because the process belongs to another user.
        pub fn signal(&self, signal: i32) -> Result<()> {
            self.watch.signal(signal)
        }

        /// Sends a signal to the process group that the process leads. It leads one if it was
        /// started with [`process_group(0)`](crate::Process::process_group). The signal reaches
        /// the rest of the group even after the leader has exited. An empty group is no error.
        ///
        /// # Errors
        ///
        /// Those of [`signal`](Self::signal), and an
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if the process is running and leads
        /// no group.
        ///
        /// # Caveats
        ///
        /// Before Linux 6.9, the group of a leader that has exited is not reached.
        pub fn signal_group(&self, signal: i32) -> Result<()> {
            self.watch.signal_group(signal)
        }
    };
}
pub(crate) use child_methods;

/// [`child_methods`], forwarded by a `Worker`.
macro_rules! worker_methods {
    () => {
        /// The process's pid: see [`Child::pid`].
        #[doc(alias = "id")]
        pub fn pid(&self) -> u32 {
            self.child.pid()
        }

        /// Another handle of the process: see [`Child::handle`].
        pub fn handle(&self) -> ChildHandle {
            self.child.handle()
        }

        /// Sends a signal: see [`Child::signal`].
        ///
        /// # Errors
        ///
        /// See [`Child::signal`].
        pub fn signal(&self, signal: i32) -> Result<()> {
            self.child.signal(signal)
        }

        /// Sends a signal to the process's group: see [`Child::signal_group`].
        ///
        /// # Errors
        ///
        /// See [`Child::signal_group`].
        pub fn signal_group(&self, signal: i32) -> Result<()> {
            self.child.signal_group(signal)
        }

        /// Sends SIGKILL to the process, and to the group that it leads: see [`Child::start_kill`].
        ///
        /// # Errors
        ///
        /// See [`Child::start_kill`].
        pub fn start_kill(&mut self) -> Result<()> {
            self.child.start_kill()
        }
    };
}
pub(crate) use worker_methods;

/// The pidfd of the types that have a field `watch`.
macro_rules! as_pidfd {
    ($($type:ty),*) => {$(
        /// The pidfd (pidfd_open(2)): readable when the process has exited.
        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.watch.pidfd()
            }
        }
    )*};
}
pub(crate) use as_pidfd;
