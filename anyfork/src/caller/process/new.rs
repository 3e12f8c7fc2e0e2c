//! Makes a [`Process`]: of a default template, by exec, or from another process's hands.
//! RUNS IN: caller

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::caller::process::Process;
#[cfg(feature = "pool")]
use crate::caller::process::origin::Origin;
use crate::caller::templates;
use crate::caller::templates::exec;
use crate::caller::templates::handle::TemplateHandle;
use crate::early::TemplateSockets;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::fd_identity::Socket;
use crate::sys::{fd, fd_identity};

impl Process {
    /// A fork of the default template.
    ///
    /// The default template is the one that `#[anyfork::early]` has forked before `main`, if
    /// there is one; otherwise it is a copy of this program, which is exec'ed at first need and
    /// kept. If the default template has died, the next call makes a new one.
    ///
    /// Works in libraries without help from the program, in an ordinary `#[test]`, and inside a
    /// worker, which then has templates of its own.
    ///
    /// # Errors
    ///
    /// Those of [`new_exec`](Process::new_exec), if a template has to be exec'ed.
    ///
    /// AnyEvent::Fork: `new`.
    pub fn new() -> Result<Process> {
        let process = templates::default().map(|template| Process::with(template, false));
        #[cfg(feature = "pool")]
        let process = process.map(|mut process| {
            process.state_mut().origin = Some(Origin::new());
            process
        });
        process
    }

    /// A freshly exec'ed copy of this program: nothing is shared, and it has an
    /// address-space layout of its own.
    ///
    /// Works from any thread, whatever the program's size, and after the program's file was
    /// replaced or deleted. It never runs the program's `main`. Preload functions
    /// (`#[anyfork::early]` on another function) run in the copy. The copy has the current
    /// environment and directory, and no open descriptors but 0, 1 and 2.
    ///
    /// ```
    /// # #[cfg(feature = "pool")]
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// /// The place of a function in this process.
    /// #[anyfork::call]
    /// fn place() -> usize {
    ///     place as fn() -> usize as usize
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// // Forks of one template have one layout; each exec'ed process has its own.
    /// let template = Process::new_exec()?;
    /// assert_eq!(place::call(template.fork()).blocking()?, place::call(template.fork()).blocking()?);
    /// println!("{:x}", place::call(Process::new_exec()?).blocking()?);
    /// # Ok(())
    /// # }
    /// # }
    /// # #[cfg(feature = "pool")]
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// # #[cfg(not(feature = "pool"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ExecFailed`] if the program's file cannot be executed, or if this crate is in
    /// a library that another kind of program has loaded at run time, such as a module of
    /// Python's or Apache's. (That program is not executed: put the workers into a program of
    /// their own, for [`exec_program`](Process::exec_program).) [`ErrorKind::NotAnyfork`] if the
    /// copy does not answer within ten seconds. The launches report the failure of a preload
    /// function.
    ///
    /// # Caveats
    ///
    /// Waits about as long as the program takes to load, but does not wait for its preload
    /// functions.
    ///
    /// AnyEvent::Fork: `new_exec`.
    pub fn new_exec() -> Result<Process> {
        exec::this_program().map(Process::from_template)
    }

    /// A freshly exec'ed copy of another program that links anyfork: its workers can be
    /// run by their names.
    ///
    /// ```
    /// use anyfork::{ErrorKind, Process};
    ///
    /// let error = Process::exec_program("/bin/true").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotAnyfork);
    /// let error = Process::exec_program("/no/such/program").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::ExecFailed);
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ExecFailed`] if the program cannot be executed; [`ErrorKind::NotAnyfork`] if
    /// it does not link anyfork: a program that does not answer within ten seconds is killed;
    /// [`ErrorKind::Protocol`] if it was built with a version of anyfork that this one does not
    /// understand.
    ///
    /// # Caveats
    ///
    /// A program that does not link anyfork does run, until anyfork notices. This waits as long
    /// as [`new_exec`](Process::new_exec) does.
    ///
    /// AnyEvent::Fork: `$AnyEvent::Fork::PERL`.
    #[doc(alias = "PERL")]
    pub fn exec_program(path: impl AsRef<Path>) -> Result<Process> {
        Process::exec_program_within(path, exec::TIMEOUT_HELLO)
    }

    /// As [`exec_program`](Process::exec_program), but the program has `limit`, in place of ten
    /// seconds, to answer.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use anyfork::{ErrorKind, Process};
    ///
    /// // A program that answers nothing is killed.
    /// let limit = Duration::from_millis(10);
    /// let error = Process::exec_program_within("/bin/cat", limit).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotAnyfork);
    /// ```
    ///
    /// # Errors
    ///
    /// See [`exec_program`](Process::exec_program).
    pub fn exec_program_within(path: impl AsRef<Path>, limit: Duration) -> Result<Process> {
        exec::program(path.as_ref(), limit).map(Process::from_template)
    }

    /// A fork of the early template.
    ///
    /// ```
    /// # mod doctest {
    /// use std::sync::OnceLock;
    ///
    /// use anyfork::Process;
    ///
    /// static WORDS: OnceLock<usize> = OnceLock::new();
    ///
    /// #[anyfork::early]
    /// fn preload() {
    ///     WORDS.set(1000).expect("once, before main");
    /// }
    ///
    /// #[anyfork::worker]
    /// fn check() {
    ///     assert_eq!(WORDS.get(), Some(&1000));
    /// }
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// assert!(check::run(Process::early()?).blocking()?.wait()?.success());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TemplateGone`] or [`ErrorKind::ForkFailed`], with the reason why
    /// there is none: nothing in the program is annotated with
    /// `#[anyfork::early]`, threads existed before `main`, the fork failed, a
    /// preload function failed, or the template has been killed.
    ///
    /// AnyEvent::Fork: `$AnyEvent::Fork::EARLY`.
    #[doc(alias = "EARLY")]
    pub fn early() -> Result<Process> {
        templates::early().map(|template| Process::with(template, false))
    }

    /// Ends the early template: it and its spares exit once the last of its children is reaped.
    /// Nothing can be started from it any more, not even by a [`Process`] that was made from it
    /// before.
    ///
    /// This is for programs that change what a child can reach in a way that anyfork does not
    /// look at, such as by entering other namespaces with unshare(2) or setns(2). It is not
    /// needed for the rights that anyfork does look at: see [`early`](macro@crate::early).
    ///
    /// ```
    /// use anyfork::Process;
    ///
    /// #[anyfork::early]
    /// fn preload() {}
    ///
    /// # fn main() -> anyfork::Result<()> {
    /// Process::end_early();
    /// assert!(Process::early().is_err());
    /// // From here on, a copy of the program that is executed now:
    /// let process = Process::new()?;
    /// # drop(process);
    /// # Ok(())
    /// # }
    /// ```
    pub fn end_early() {
        templates::end_early();
    }

    /// Ends the template that [`Process::new`] has exec'ed, and forgets it: the next
    /// `Process::new` makes another one, by executing the program anew.
    ///
    /// Call it after unshare(2) or setns(2), together with [`end_early`](Process::end_early).
    ///
    /// ```
    /// # mod doctest {
    /// use anyfork::Process;
    ///
    /// #[anyfork::worker]
    /// fn nothing() {}
    ///
    /// # pub fn main() -> anyfork::Result<()> {
    /// Process::end_early();
    /// Process::reset_default();
    /// let mut worker = nothing::run(Process::new()?).blocking()?; // of a new template
    /// assert!(worker.wait()?.success());
    /// # Ok(())
    /// # }
    /// # }
    /// # fn main() -> anyfork::Result<()> { doctest::main() }
    /// ```
    pub fn reset_default() {
        templates::reset_default();
    }

    /// A process that another process has handed over with [`into_fd`](Process::into_fd). Usually
    /// its descriptor has arrived through a worker's socket.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] if the descriptor is of another kind than those that `into_fd`
    /// gives.
    ///
    /// AnyEvent::Fork: `new_from_fh`.
    #[doc(alias = "new_from_fh")]
    pub fn from_fd(fd: impl Into<OwnedFd>) -> Result<Process> {
        let fd = fd.into();
        if !fd_identity::is_socket(fd.as_fd(), Socket::UnixMessages) {
            let message = "the descriptor is no process that was handed over";
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        fd::set_close_on_exec(fd.as_fd())
            .map_err(|error| Error::io("take a process over", error))?;
        Ok(Process::with(
            Arc::new(TemplateHandle::handed_over(fd)),
            true,
        ))
    }

    /// A process that is a template of its own.
    pub(crate) fn from_template(sockets: TemplateSockets) -> Process {
        Process::with(Arc::new(TemplateHandle::new(sockets)), true)
    }
}
