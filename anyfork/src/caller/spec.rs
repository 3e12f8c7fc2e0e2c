//! [`Setup`] and [`Options`]: what is collected for a process before it is started.
//! RUNS IN: caller
//!
//! Both only collect, and report nothing before a launch. A [`Setup`] is sent to the
//! process that it is for. [`Options`] stay with the caller, which uses them for every
//! process that is forked from this one, too.

use std::io;
use std::mem;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::args::value::{Arg, ArgError};
use crate::error::{Error, Result};
use crate::protocol::body::Body;
use crate::protocol::request::Surroundings;
use crate::spec::name::FunctionName;
use crate::spec::{Setting, Step};

/// The settings and steps so far, and the first error.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    settings: Vec<Setting>,
    steps: Vec<Step>,
    error: Option<Error>,
}

impl Setup {
    /// No settings and steps, and the error of an earlier setup.
    pub(crate) fn failed(error: Option<Error>) -> Setup {
        Setup {
            error,
            ..Setup::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.steps.is_empty()
    }

    pub(crate) fn settings(&self) -> &[Setting] {
        &self.settings
    }

    pub(crate) fn settings_mut(&mut self) -> &mut Vec<Setting> {
        &mut self.settings
    }

    pub(crate) fn error(&self) -> Option<Error> {
        self.error.clone()
    }

    /// Keeps the first error, which every launch reports.
    pub(crate) fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Appends an argument. A value that could not become one fails the launch.
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

    /// Sets what a process has only once: the last call counts.
    pub(crate) fn replace(&mut self, setting: Setting) {
        let kind = mem::discriminant(&setting);
        self.settings.retain(|it| mem::discriminant(it) != kind);
        self.set(setting);
    }

    /// Whether the text of a setting has a NUL in it, which the kernel refuses.
    pub(crate) fn has_nul(&self) -> bool {
        self.settings.iter().any(Setting::has_nul)
    }

    /// Whether standard stream `number` was set.
    pub(crate) fn has_stream(&self, number: u8) -> bool {
        self.settings.iter().any(|it| is_stream(it, number))
    }

    /// Removes the setting of standard stream `number`: another one replaces it.
    pub(crate) fn forget_stream(&mut self, number: u8) {
        self.settings.retain(|it| !is_stream(it, number));
    }

    /// Removes the setting of a session.
    pub(crate) fn forget_session(&mut self) {
        self.settings.retain(|it| !matches!(it, Setting::Session));
    }

    /// Removes the setting of no new privileges.
    pub(crate) fn forget_no_new_privs(&mut self) {
        self.settings
            .retain(|it| !matches!(it, Setting::NoNewPrivs));
    }

    /// Whether a process group was set, which that of a session is, too.
    pub(crate) fn has_group(&self) -> bool {
        let is_group = |it: &Setting| matches!(it, Setting::ProcessGroup(_) | Setting::Session);
        self.settings.iter().any(is_group)
    }

    /// Whether a directory was set.
    pub(crate) fn has_directory(&self) -> bool {
        let is_directory = |it: &Setting| matches!(it, Setting::Directory(_));
        self.settings.iter().any(is_directory)
    }

    /// The part of the caller's surroundings that a process gets: the standard streams
    /// that are not set, and the directory.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            streams: [0, 1, 2].map(|number| !self.has_stream(number)),
            directory: true,
            ..Surroundings::default()
        }
    }

    /// Appends the settings and steps of another setup.
    pub(crate) fn append(&mut self, other: Setup) {
        self.settings.extend(other.settings);
        self.steps.extend(other.steps);
        self.error = self.error.take().or(other.error);
    }

    /// Whether it has descriptors, of which there may be no more once they were sent.
    #[cfg(feature = "pool")]
    pub(crate) fn has_descriptors(&self) -> bool {
        let is_descriptor = |arg: &Arg| matches!(arg, Arg::Fd(_));
        let has_any = |step: &Step| match step {
            Step::Arg(arg) => is_descriptor(arg),
            Step::Init { args, .. } => args.iter().any(is_descriptor),
            Step::Require(_) => false,
        };
        let is_file = |it: &Setting| matches!(it, Setting::Stream { to: Some(_), .. });
        self.steps.iter().any(has_any) || self.settings.iter().any(is_file)
    }

    /// A copy of the setup, with duplicates of its descriptors.
    pub(crate) fn try_clone(&self) -> io::Result<Setup> {
        let settings = self.settings.iter().map(Setting::try_clone);
        let steps = self.steps.iter().map(Step::try_clone);
        Ok(Setup {
            settings: settings.collect::<io::Result<_>>()?,
            steps: steps.collect::<io::Result<_>>()?,
            error: self.error.clone(),
        })
    }

    /// Sets `/dev/null` where the options ask for a pipe: nobody reads the pipes of a
    /// template.
    pub(crate) fn close_pipes(&mut self, options: &Options) {
        for number in 0..=2 {
            if options.piped[usize::from(number)] {
                self.set(Setting::Stream { number, to: None });
            }
        }
    }

    /// The body of a request for the worker `name`.
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

fn is_stream(setting: &Setting, stream: u8) -> bool {
    matches!(setting, Setting::Stream { number, .. } if *number == stream)
}

/// What holds for each process that is started, and is no part of a template: see the
/// methods of these names of [`Process`](crate::Process).
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) kill_on_drop: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) title: Option<String>,
    /// Which of the standard streams are pipes.
    pub(crate) piped: [bool; 3],
}

impl Options {
    /// The time at which a launch that begins now must be ready. `None`: there is no
    /// limit, or it is later than a clock can tell.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.timeout?)
    }
}
