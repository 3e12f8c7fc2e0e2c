//! [`Launch`]: a worker on its way, finished with `.await` or `.blocking()`.
//!
//! What happens on the way is in [`Spawn`], which never waits; here are the
//! two ways of waiting for it.

use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Output;
use std::sync::Arc;
use std::time::Instant;

use crate::caller::child::blocking;
use crate::caller::child::handle::ExitWatch;
use crate::caller::child::{Child, Worker};
use crate::caller::options::Options;
use crate::caller::process::Process;
use crate::caller::spec::Setup;
use crate::caller::stdio::Streams;
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::trace::Trace;
#[cfg(feature = "tokio")]
use crate::caller::wait;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::protocol::request::Role;
use crate::spec::name::FunctionName;

use crate::caller::spawn::Progress;
pub(crate) use crate::caller::spawn::Spawn;
use crate::caller::spawn::cancel::CancelGuard;
pub(crate) use crate::caller::spawn::{SpawnSpec, too_late};
#[cfg(feature = "tokio")]
use crate::caller::wait::tokio::KillGuard;
#[cfg(feature = "tokio")]
pub(crate) use crate::caller::wait::tokio::news;

/// An operation under way.
///
/// Finished with `.await` (feature `tokio`) or [`blocking`](Launch::blocking).
/// Either resolves when the worker is about to be entered: the process exists,
/// the name was found, the arguments were decoded.
///
/// A launch of an external program resolves when it is executed; one that is to
/// give its [`Exit`] or its [`Output`], when it has ended.
///
/// Dropped before, directly or as a future, it leaves no process behind; nor, if
/// a program leads a [process group](Process::process_group), one of the group.
///
/// # Errors
///
/// Everything that goes wrong before the worker is entered:
///
/// | kind | when |
/// |---|---|
/// | [`UnknownWorker`], [`AmbiguousName`] | the name fits no worker, or several |
/// | [`BadArgument`] | an argument does not parse, or there are too few or too many |
/// | [`TemplateGone`] | the template has ended, or ends before the worker is ready |
/// | [`ExecFailed`] | a program cannot be executed |
/// | [`ForkFailed`] | the kernel refuses the template's fork, as over `RLIMIT_NPROC` |
/// | [`InitFailed`], [`PluginFailed`] | an init function or a plugin refuses |
/// | [`Died`] | the process ends before it is ready |
/// | [`TimedOut`] | it is not ready in the time that [`Process::timeout`] allows |
/// | [`Io`] | a system call fails, as when the descriptor table is full, or for a setting that is not allowed |
///
/// # Panics
///
/// Awaited in a tokio runtime that was built without I/O, as tokio's own types do.
/// One without time is enough.
///
/// # Caveats
///
/// While the template is stopped (SIGSTOP), a launch waits for it, for as long as
/// [`Process::timeout`] allows.
///
/// A process that a preload or init function has forked and left behind holds the
/// sockets that its parent had. If the template is killed then, its launches end
/// all the same: those whose request it has not read after about a second, and
/// those whose child was forked already with that child, which is waited for as
/// long as it prepares itself. Only `timeout` ends a launch, or a
/// [`prepare`](Process::prepare), if a template is killed while it is still being
/// prepared, and has left such a process behind; if its own template is killed so
/// before it was forked; or if it was handed over by another process.
///
/// [`UnknownWorker`]: crate::ErrorKind::UnknownWorker
/// [`AmbiguousName`]: crate::ErrorKind::AmbiguousName
/// [`BadArgument`]: crate::ErrorKind::BadArgument
/// [`TemplateGone`]: crate::ErrorKind::TemplateGone
/// [`ExecFailed`]: crate::ErrorKind::ExecFailed
/// [`ForkFailed`]: crate::ErrorKind::ForkFailed
/// [`InitFailed`]: crate::ErrorKind::InitFailed
/// [`PluginFailed`]: crate::ErrorKind::PluginFailed
/// [`Died`]: crate::ErrorKind::Died
/// [`TimedOut`]: crate::ErrorKind::TimedOut
/// [`Io`]: crate::ErrorKind::Io
#[must_use = "a launch that is dropped is called off: `.await` it or call `.blocking()`"]
pub struct Launch<T: Target> {
    pub(crate) pending: Result<T::Pending>,
    pub(crate) trace: Trace,
}

/// What a [`Launch`] can lead to, and its counterpart for blocking code.
pub trait Target: Sized + sealed::Target {
    /// What [`Launch::blocking`] gives.
    type Blocking;
}

impl Target for Worker {
    type Blocking = blocking::Worker;
}

impl Target for Process {
    type Blocking = Process;
}

impl Target for Child {
    type Blocking = blocking::Child;
}

impl Target for Exit {
    type Blocking = Exit;
}

impl Target for Output {
    type Blocking = Output;
}

impl<T: Target> Launch<T> {
    pub(crate) fn failed(error: Error) -> Launch<T> {
        let (pending, trace) = (Err(error), Trace::refused());
        Launch { pending, trace }
    }

    /// Waits until the operation has succeeded or failed.
    ///
    /// # Errors
    ///
    /// See [`Launch`].
    pub fn blocking(self) -> Result<T::Blocking> {
        let result = self.pending.and_then(T::blocking);
        result.inspect_err(|error| self.trace.failed(error))
    }
}

impl Launch<Worker> {
    /// Asks the template for a worker. The message is sent, or will be when
    /// there is room for it.
    pub(crate) fn start(
        template: &Arc<TemplateHandle>,
        name: FunctionName<'static>,
        mut setup: Setup,
        options: &Options,
    ) -> Launch<Worker> {
        let trace = Trace::launch(&name.name, template);
        let start = || {
            let streams = setup.open_pipes(options)?;
            let surroundings = setup.surroundings();
            let spec = SpawnSpec {
                role: Role::Worker,
                body: setup.into_body(name, options),
                control: None,
                kill_on_drop: options.kill_on_drop,
                surroundings,
                bounding_set: None,
                deadline: options.deadline(),
            };
            ProcessUnderWay::start(template, spec, streams, &trace)
        };
        let pending = start();
        Launch { pending, trace }
    }
}

impl<T: Target + sealed::Target<Pending = ProcessUnderWay>> Launch<T> {
    /// Asks the template for an external program, if it could be said which.
    pub(crate) fn program(spec: Result<(Arc<TemplateHandle>, SpawnSpec, Streams)>) -> Launch<T> {
        let (template, spec, streams) = match spec {
            Ok(spec) => spec,
            Err(error) => return Launch::failed(error),
        };
        let trace = Trace::launch(&spec.what(), &template);
        let pending = ProcessUnderWay::start(&template, spec, streams, &trace);
        Launch { pending, trace }
    }
}

impl Launch<Process> {
    /// Waits for a process that has been asked for.
    pub(crate) fn preparing(process: Process, deadline: Option<Instant>) -> Launch<Process> {
        let trace = Trace::launch("", &process.base().0);
        let pending = Ok(TemplateUnderWay { process, deadline });
        Launch { pending, trace }
    }
}

impl<T: Target> fmt::Debug for Launch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.pending.as_ref().err();
        f.debug_struct("Launch")
            .field("error", &error)
            .finish_non_exhaustive()
    }
}

/// The two ways of waiting for each target.
mod sealed {
    use super::*;

    pub trait Target: Sized {
        /// What is under way.
        type Pending: Send;

        fn blocking(pending: Self::Pending) -> Result<<Self as crate::caller::Target>::Blocking>
        where
            Self: crate::caller::Target;

        #[cfg(feature = "tokio")]
        fn asynchronous(pending: Self::Pending) -> impl Future<Output = Result<Self>> + Send;
    }
}

/// A worker that is under way, and where its answer comes.
///
/// Wherever these two are dropped, the spawn must go first: its descriptors
/// make room for the pidfd by which a worker is called off.
pub struct ProcessUnderWay {
    pub(crate) spawn: Spawn,
    pub(crate) socket: CancelGuard<UnixStream>,
    pub(crate) streams: Streams,
}

impl ProcessUnderWay {
    fn start(
        template: &Arc<TemplateHandle>,
        spec: SpawnSpec,
        streams: Streams,
        trace: &Trace,
    ) -> Result<ProcessUnderWay> {
        let (mine, spawn) = Spawn::start(template, spec, trace.clone())?;
        Ok(ProcessUnderWay {
            spawn,
            socket: CancelGuard::new(mine),
            streams,
        })
    }

    /// Waits, in code that may block.
    fn arrive(self) -> Result<(UnixStream, ExitWatch, Streams)> {
        let ProcessUnderWay {
            socket,
            streams,
            mut spawn,
        } = self;
        loop {
            match spawn.step(socket.as_fd())? {
                Progress::Ready(running) => return Ok((socket.disarm(), running, streams)),
                Progress::WaitFor(wait) => spawn.wait_blocking(wait, socket.as_fd())?,
            }
        }
    }
}

/// A template that is under way.
pub struct TemplateUnderWay {
    process: Process,
    deadline: Option<Instant>,
}

impl sealed::Target for Worker {
    type Pending = ProcessUnderWay;

    fn blocking(pending: ProcessUnderWay) -> Result<blocking::Worker> {
        let (socket, running, streams) = pending.arrive()?;
        Ok(blocking::Worker::new(socket, running, streams))
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: ProcessUnderWay) -> Result<Worker> {
        wait::tokio::worker(pending).await
    }
}

impl sealed::Target for Child {
    type Pending = ProcessUnderWay;

    fn blocking(pending: ProcessUnderWay) -> Result<blocking::Child> {
        let (_, running, streams) = pending.arrive()?;
        Ok(blocking::Child::new(running, streams))
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: ProcessUnderWay) -> Result<Child> {
        wait::tokio::child(pending).await
    }
}

impl sealed::Target for Exit {
    type Pending = ProcessUnderWay;

    fn blocking(pending: ProcessUnderWay) -> Result<Exit> {
        <Child as sealed::Target>::blocking(pending)?.wait()
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: ProcessUnderWay) -> Result<Exit> {
        let mut child = wait::tokio::child(pending).await?;
        let cancel = KillGuard::new(&child);
        let exit = child.wait().await?;
        cancel.disarm();
        Ok(exit)
    }
}

impl sealed::Target for Output {
    type Pending = ProcessUnderWay;

    fn blocking(pending: ProcessUnderWay) -> Result<Output> {
        <Child as sealed::Target>::blocking(pending)?.wait_with_output()
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: ProcessUnderWay) -> Result<Output> {
        let child = wait::tokio::child(pending).await?;
        let cancel = KillGuard::new(&child);
        let output = child.wait_with_output().await?;
        cancel.disarm();
        Ok(output)
    }
}

impl sealed::Target for Process {
    type Pending = TemplateUnderWay;

    fn blocking(pending: TemplateUnderWay) -> Result<Process> {
        let TemplateUnderWay { process, deadline } = pending;
        let (base, error) = process.base();
        error.map_or(Ok(()), Err)?;
        base.wait_prepared(deadline)?;
        Ok(process)
    }

    #[cfg(feature = "tokio")]
    async fn asynchronous(pending: TemplateUnderWay) -> Result<Process> {
        let TemplateUnderWay { process, deadline } = pending;
        let (base, error) = process.base();
        error.map_or(Ok(()), Err)?;
        let what = "the preparation of a template";
        let prepared = async {
            while let Some(socket) = base.prepared()? {
                wait::tokio::answered(socket).await?;
            }
            Ok(())
        };
        wait::tokio::within(deadline, what, prepared).await?;
        Ok(process)
    }
}
