//! [`Setup`]: what is collected for a process until it comes into being.

use std::io;
use std::mem;

use crate::args::Args;
use crate::args::value::{Arg, ArgError, IntoArg};
use crate::caller::options::Options;
use crate::caller::process::Process;
use crate::caller::stdio;
use crate::caller::stdio::Streams;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::body::Body;
use crate::protocol::request::Surroundings;
use crate::spec::name::FunctionName;
use crate::spec::{Setting, Step};

/// The settings and steps so far, and the first thing that went wrong.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    settings: Vec<Setting>,
    steps: Vec<Step>,
    error: Option<Error>,
}

impl Setup {
    /// Nothing but an error that is there already.
    pub(crate) fn failed(error: Option<Error>) -> Setup {
        Setup {
            error,
            ..Setup::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.steps.is_empty()
    }

    pub(crate) fn error(&self) -> Option<Error> {
        self.error.clone()
    }

    /// Keeps the first error: the launch reports it.
    pub(crate) fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Appends an argument. One that could not be made fails the launch.
    pub(crate) fn arg(&mut self, arg: Result<Arg, ArgError>) {
        match arg {
            Ok(arg) => self.push(Step::Arg(arg)),
            Err(reason) => {
                let is_arg = |step: &&Step| matches!(step, Step::Arg(_));
                let before = self.steps.iter().filter(is_arg).count();
                self.fail(reason.at(before + 1));
            }
        }
    }

    /// Appends the run of an init function. Arguments that carry a failure fail the
    /// launch.
    pub(crate) fn init(&mut self, name: FunctionName<'static>, args: Args) {
        match args.error() {
            None => self.push(Step::Init { name, args }),
            Some(error) => self.fail(error.during(format_args!("init function `{name}`"))),
        }
    }

    pub(crate) fn set(&mut self, setting: Setting) {
        self.settings.push(setting);
    }

    /// Sets what can be set only once: the last one counts.
    pub(crate) fn replace(&mut self, setting: Setting) {
        let kind = mem::discriminant(&setting);
        self.settings.retain(|it| mem::discriminant(it) != kind);
        self.set(setting);
    }

    /// Whether a text of a setting has a NUL in it, which none can have for the
    /// kernel.
    pub(crate) fn has_nul(&self) -> bool {
        self.settings.iter().any(Setting::has_nul)
    }

    /// Whether a standard stream was set.
    pub(crate) fn has_stream(&self, stream: u8) -> bool {
        let is_it =
            |it: &Setting| matches!(it, Setting::Stream { number, .. } if *number == stream);
        self.settings.iter().any(is_it)
    }

    /// Unsets a standard stream, for which another is given.
    pub(crate) fn forget_stream(&mut self, stream: u8) {
        let is_it =
            |it: &Setting| matches!(it, Setting::Stream { number, .. } if *number == stream);
        self.settings.retain(|it| !is_it(it));
    }

    /// Whether a directory was set.
    pub(crate) fn has_directory(&self) -> bool {
        let is_it = |it: &Setting| matches!(it, Setting::Directory(_));
        self.settings.iter().any(is_it)
    }

    /// What of the caller's surroundings a process gets: the streams that are not
    /// set, and the directory.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            streams: [0, 1, 2].map(|number| !self.has_stream(number)),
            directory: true,
            ..Surroundings::default()
        }
    }

    /// Adds what another has collected.
    pub(crate) fn append(&mut self, other: Setup) {
        self.settings.extend(other.settings);
        self.steps.extend(other.steps);
        self.error = self.error.take().or(other.error);
    }

    /// The same once more, with duplicates of its descriptors.
    pub(crate) fn try_clone(&self) -> io::Result<Setup> {
        let settings = self.settings.iter().map(Setting::try_clone);
        let steps = self.steps.iter().map(Step::try_clone);
        Ok(Setup {
            settings: settings.collect::<io::Result<_>>()?,
            steps: steps.collect::<io::Result<_>>()?,
            error: self.error.clone(),
        })
    }

    /// Makes the pipes that a process has for standard streams, and gives the
    /// caller's ends.
    pub(crate) fn open_pipes(&mut self, options: &Options) -> Result<Streams> {
        let mut streams = Streams::default();
        for number in 0..=2 {
            let index = usize::from(number);
            if options.piped[index] {
                let (theirs, mine) = stdio::pipe(number)?;
                streams.0[index] = Some(mine);
                let to = Some(theirs);
                self.set(Setting::Stream { number, to });
            }
        }
        Ok(streams)
    }

    /// A template has nobody to read from its pipes.
    pub(crate) fn close_pipes(&mut self, options: &Options) {
        for number in 0..=2 {
            if options.piped[usize::from(number)] {
                self.set(Setting::Stream { number, to: None });
            }
        }
    }

    /// What the child is told.
    pub(crate) fn into_body(mut self, name: FunctionName<'static>, options: &Options) -> Body {
        if let Some(title) = &options.title {
            self.set(Setting::Title(title.clone()));
        }
        Body {
            name,
            settings: self.settings,
            steps: self.steps,
            program: None,
        }
    }
}

/// The arguments of an init function, as its companion collects them.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct InitArgs {
    args: Args,
    error: Option<Error>,
}

impl InitArgs {
    #[must_use]
    pub fn new() -> InitArgs {
        InitArgs::default()
    }

    #[must_use]
    pub fn send_arg(mut self, arg: impl IntoArg) -> InitArgs {
        self.args.push(arg);
        self
    }

    #[must_use]
    pub fn send_args(mut self, args: Args) -> InitArgs {
        self.args.extend(args);
        self
    }

    #[must_use]
    pub fn refuse(mut self, message: &str) -> InitArgs {
        let error = Error::new(ErrorKind::BadArgument, message);
        self.error.get_or_insert(error);
        self
    }

    /// Adds the init function whose companion is `T` to what `process` prepares.
    pub fn init<T: 'static>(self, mut process: Process, name: &str) -> Process {
        match self.error {
            Some(error) => process.fail(error),
            None => {
                let name = FunctionName::of_companion::<T>(name);
                process.setup().init(name, self.args);
                process
            }
        }
    }
}
