//! Starts a [`Command`]: reads what the program inherits, and asks the template.
//! RUNS IN: caller

use std::ffi::OsString;
use std::io;
use std::process::Output;
use std::sync::Arc;

use crate::caller::child::Child;
use crate::caller::child::pending::PendingChild;
use crate::caller::command::bounds::{Bounds, BoundsOfLaunch};
use crate::caller::command::outcome::PendingProgram;
use crate::caller::command::{Command, environment};
use crate::caller::launch::{Launch, Target, sealed};
use crate::caller::spawn::spec::SpawnSpec;
use crate::caller::spec::{Options, Setup};
use crate::caller::stdio::Stdio;
use crate::caller::templates;
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::trace::Trace;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::protocol::request::{Role, Surroundings};
use crate::spec::name::FunctionName;
use crate::spec::texts::Texts;
use crate::spec::{Attributes, Inherit, Program, Setting};
use crate::sys::attributes::Status;
use crate::sys::fd;

/// The standard streams of a program for which none were set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DefaultStreams {
    /// The caller's.
    Inherited,
    /// `/dev/null` for standard input, pipes for the others.
    Captured,
}

impl Command {
    /// Starts the program. The launch resolves once the program is executed.
    ///
    /// May be called again, for another process of the same kind.
    ///
    /// # Errors
    ///
    /// Those of a [`Launch`] of a worker, and
    /// [`ErrorKind::ExecFailed`](crate::ErrorKind::ExecFailed) if the program cannot be executed.
    /// That error's source is the [`io::Error`] that std's `spawn` would give (`NotFound`,
    /// `PermissionDenied`, …), and the error converts into its source. If the program's file is
    /// being written (`ETXTBSY`), anyfork tries again for half a second. If the directory cannot
    /// be entered, or another setting cannot be applied, the error names the setting. In no case
    /// is a process left.
    pub fn spawn(&mut self) -> Launch<Child> {
        let none = Bounds::default();
        if let Err(error) = self.bounds.refuse_spawn() {
            let what = format!("start `{}`", self.program.display());
            return Launch::failed(Error::io(what, error));
        }
        self.launch(DefaultStreams::Inherited, &none, |child, _| child)
    }

    /// Starts the program, and waits for its exit.
    ///
    /// # Errors
    ///
    /// See [`spawn`](Command::spawn), [`Child::wait`] and
    /// [`time_limit`](Command::time_limit).
    pub fn status(&mut self) -> Launch<Exit> {
        self.launch_within(DefaultStreams::Inherited)
    }

    /// Starts the program, and reads what it prints until its exit.
    ///
    /// # Errors
    ///
    /// See [`spawn`](Command::spawn), [`Child::wait_with_output`],
    /// [`time_limit`](Command::time_limit) and [`output_limit`](Command::output_limit).
    pub fn output(&mut self) -> Launch<Output> {
        self.launch_within(DefaultStreams::Captured)
    }

    /// Asks the template for a program that is waited for within the bounds.
    fn launch_within<T>(&self, default_streams: DefaultStreams) -> Launch<T>
    where
        T: Target + sealed::Target<Pending = PendingProgram>,
    {
        let bounds = &self.bounds;
        let pending = |child, bounds| PendingProgram { child, bounds };
        self.launch(default_streams, bounds, pending)
    }

    /// Asks the template for the program.
    fn launch<T: Target>(
        &self,
        default_streams: DefaultStreams,
        bounds: &Bounds,
        pending: impl FnOnce(PendingChild, Option<Box<BoundsOfLaunch>>) -> T::Pending,
    ) -> Launch<T> {
        let (template, mut spec) = match self.spawn_spec(default_streams, bounds) {
            Ok(spec) => spec,
            Err(error) => return Launch::failed(error),
        };
        let what = spec.what();
        let trace = Trace::launch(&what, || template.pid());
        let mut of_launch = None;
        if !bounds.are_none() {
            let bounds = BoundsOfLaunch::new(bounds, what);
            spec.deadline = spec.deadline.into_iter().chain(bounds.deadline).min();
            of_launch = Some(Box::new(bounds));
        }
        let child = PendingChild::start(&template, spec, &trace);
        Launch::new(child.map(|child| pending(child, of_launch)), trace)
    }

    /// The template, and the request.
    fn spawn_spec(
        &self,
        default_streams: DefaultStreams,
        bounds: &Bounds,
    ) -> Result<(Arc<TemplateHandle>, SpawnSpec)> {
        let what = self.program.display();
        self.refuse_nul()
            .map_err(|error| Error::io(format_args!("start `{what}`"), error))?;
        if let Some(error) = self.setup.error() {
            return Err(error);
        }
        let base = match &self.base {
            Some(base) => Arc::clone(base),
            None => templates::default()?,
        };
        let failed = |error| Error::io(format_args!("start `{what}`"), error);
        let mut options = self.options.clone();
        let status = Status::now();
        let mut own = self.setup.try_clone().map_err(failed)?;
        let variables = match self.is_prepared() {
            // The process knows what its preparation has changed.
            true => environment::inherited(),
            false => environment::changed(own.settings_mut()).map_err(|(name, error)| {
                Error::io(format_args!("set env `{}`", name.display()), error)
                    .during(format_args!("start `{what}`"))
            })?,
        };
        let mut setup = self
            .inherited(default_streams, &mut options, &status, variables)
            .map_err(failed)?;
        // So that who is started by the program ends with it.
        if bounds.may_end_program() && !self.setup.has_group() {
            setup.set(Setting::ProcessGroup(0));
        }
        setup.append(own);
        let surroundings = Surroundings {
            replaces_streams: !self.is_prepared(),
            // A relative path is taken relative to the caller's directory.
            replaces_directory: !self.is_prepared() || self.setup.has_directory(),
            ..setup.surroundings()
        };
        let mut body = setup.into_body(FunctionName::default(), &options);
        body.program = Some(self.to_program().map_err(failed)?);
        let spec = SpawnSpec {
            role: Role::Program,
            body,
            control: None,
            kill_on_drop: options.kill_on_drop,
            piped: options.piped,
            surroundings,
            bounding_set: status.bounding_set,
            deadline: options.deadline(),
        };
        Ok((base, spec))
    }

    /// The environment and the attributes of the caller, and the streams that are set.
    fn inherited(
        &self,
        default_streams: DefaultStreams,
        options: &mut Options,
        status: &Status,
        variables: Texts,
    ) -> io::Result<Setup> {
        let mut setup = Setup::default();
        setup.set(Setting::Inherit {
            what: Inherit::Environment(variables),
            prepared: self.is_prepared(),
        });
        setup.set(Setting::Inherit {
            what: Inherit::Attributes(Attributes::now(status)),
            prepared: self.is_prepared(),
        });
        let captures = default_streams == DefaultStreams::Captured;
        for number in 0..=2 {
            let index = usize::from(number);
            let stream = match &self.streams[index] {
                Some(stream) => stream.try_clone()?,
                None if self.setup.has_stream(number) || options.piped[index] => continue,
                None if captures && number == 0 => Stdio::null(),
                None if captures => Stdio::piped(),
                None => continue,
            };
            options.piped[index] = stream.is_piped();
            if !stream.is_piped() {
                let to = stream.resolve(number);
                setup.set(Setting::Stream { number, to });
            }
        }
        Ok(setup)
    }

    /// Whether the program is started from a process that may have been prepared.
    fn is_prepared(&self) -> bool {
        self.base.is_some()
    }

    /// The program as the request has it, with duplicates of the descriptors.
    fn to_program(&self) -> io::Result<Program> {
        let given = self.fds.iter();
        let given = given.map(|(number, fd)| Ok((fd.try_clone()?, *number)));
        let mut fds = match self.inherits_fds {
            true => fd::duplicates_of_inherited()?,
            false => Vec::new(),
        };
        fds.retain(|(_, number)| self.fds.iter().all(|(given, _)| given != number));
        fds.extend(given.collect::<io::Result<Vec<_>>>()?);
        Ok(Program {
            path: self.program.clone(),
            arg0: self.arg0.clone().unwrap_or_else(|| self.program.clone()),
            args: self.args.clone(),
            fds,
        })
    }

    /// An error as std's for a text with a NUL in it, which the kernel refuses.
    fn refuse_nul(&self) -> io::Result<()> {
        let mut texts = [&self.program]
            .into_iter()
            .chain(&self.arg0)
            .chain(&self.args);
        let has_nul = |text: &OsString| text.as_encoded_bytes().contains(&0);
        match texts.any(has_nul) || self.setup.has_nul() {
            true => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "nul byte found in provided data",
            )),
            false => Ok(()),
        }
    }
}
