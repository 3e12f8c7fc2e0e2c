//! From a [`Command`] to a launch: what is inherited from the caller is looked
//! at here, at the last moment.

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::Output;
use std::sync::Arc;

use crate::caller::child::Child;
use crate::caller::command::Command;
use crate::caller::launch::{Launch, SpawnSpec};
use crate::caller::options::Options;
use crate::caller::spec::Setup;
use crate::caller::stdio::{Stdio, Streams};
use crate::caller::templates;
use crate::caller::templates::handle::TemplateHandle;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::protocol::request::{Role, Surroundings};
use crate::spec::name::FunctionName;
use crate::spec::{Attributes, Inherit, Program, Setting};
use crate::sys::attributes::Status;

/// What a standard stream is that nothing was said about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Usually {
    /// What the caller has.
    Inherited,
    /// Standard input is `/dev/null`, the others are pipes.
    Captured,
}

impl Command {
    /// Starts the program. The launch resolves when it is executed.
    ///
    /// May be called again, for another process of the same kind.
    ///
    /// # Errors
    ///
    /// As a [`Launch`] of a worker, and
    /// [`ErrorKind::ExecFailed`](crate::ErrorKind::ExecFailed) if the program
    /// cannot be executed: its source is the [`io::Error`] that std's `spawn`
    /// would give (`NotFound`, `PermissionDenied`, …), and it converts into that.
    /// A file that is being written (`ETXTBSY`) is tried again for half a second.
    /// A directory that cannot be entered, or another setting, names itself; in
    /// each case no process is left.
    pub fn spawn(&mut self) -> Launch<Child> {
        Launch::program(self.spec(Usually::Inherited))
    }

    /// Starts the program, and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Command::spawn) and [`Child::wait`].
    pub fn status(&mut self) -> Launch<Exit> {
        Launch::program(self.spec(Usually::Inherited))
    }

    /// Starts the program, and collects what it prints until its end.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Command::spawn) and [`Child::wait_with_output`].
    pub fn output(&mut self) -> Launch<Output> {
        Launch::program(self.spec(Usually::Captured))
    }

    /// What is to be started, and the caller's ends of the pipes.
    fn spec(&mut self, usually: Usually) -> Result<(Arc<TemplateHandle>, SpawnSpec, Streams)> {
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
        let mut setup = self
            .inherited(usually, &mut options, &status)
            .map_err(failed)?;
        setup.append(self.setup.try_clone().map_err(failed)?);
        let streams = setup.open_pipes(&options)?;
        let surroundings = Surroundings {
            replaces_streams: !self.is_prepared(),
            // A relative path is taken relative to the caller's directory.
            replaces_directory: !self.is_prepared() || self.setup.has_directory(),
            ..setup.surroundings()
        };
        let mut body = setup.into_body(FunctionName::default(), &options);
        body.program = Some(self.image().map_err(failed)?);
        let spec = SpawnSpec {
            role: Role::Program,
            body,
            control: None,
            kill_on_drop: options.kill_on_drop,
            surroundings,
            bounding_set: status.bounding_set,
            deadline: options.deadline(),
        };
        Ok((base, spec, streams))
    }

    /// The environment and the attributes of the caller, and the streams that are set.
    fn inherited(
        &self,
        usually: Usually,
        options: &mut Options,
        status: &Status,
    ) -> io::Result<Setup> {
        let mut setup = Setup::default();
        setup.set(Setting::Inherit {
            what: Inherit::Environment(env::vars_os().collect()),
            prepared: self.is_prepared(),
        });
        setup.set(Setting::Inherit {
            what: Inherit::Attributes(Attributes::now(status)),
            prepared: self.is_prepared(),
        });
        for number in 0..=2 {
            let index = usize::from(number);
            let given = match &self.streams[index] {
                Some(given) => given.try_clone()?,
                None if self.setup.has_stream(number) || options.piped[index] => continue,
                None if usually == Usually::Captured && number == 0 => Stdio::null(),
                None if usually == Usually::Captured => Stdio::piped(),
                None => continue,
            };
            options.piped[index] = given.is_piped();
            if !given.is_piped() {
                let to = given.resolve(number);
                setup.set(Setting::Stream { number, to });
            }
        }
        Ok(setup)
    }

    /// Whether the program is started from a process that may have been prepared.
    fn is_prepared(&self) -> bool {
        self.base.is_some()
    }

    fn image(&self) -> io::Result<Program> {
        let placed = self.placed.iter();
        let placed = placed.map(|(fd, number)| Ok((fd.try_clone()?, *number)));
        Ok(Program {
            path: self.program.clone(),
            arg0: self.arg0.clone().unwrap_or_else(|| self.program.clone()),
            args: self.args.clone(),
            fds: placed.collect::<io::Result<_>>()?,
        })
    }

    /// Text for the kernel cannot have a NUL in it.
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
