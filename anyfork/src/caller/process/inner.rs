//! What a [`Process`] is made of, for the rest of its room.
//! RUNS IN: caller

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::caller::process::Process;
use crate::caller::process::state::State;
use crate::caller::spec::{Options, Setup};
use crate::caller::templates::handle::TemplateHandle;
use crate::error::{Error, ErrorKind};

impl Process {
    /// A process that will be forked from `base`, or that is `base`.
    pub(crate) fn with(base: Arc<TemplateHandle>, is_base: bool) -> Process {
        Process(Mutex::new(State {
            base,
            is_base,
            setup: Setup::default(),
            spares: 0,
            options: Options::default(),
            #[cfg(feature = "pool")]
            origin: None,
        }))
    }

    /// Creates the template that this process is to be, unless it exists, and returns the
    /// deadline of its preparation.
    pub(super) fn materialize(&self) -> Option<Instant> {
        let mut state = self.state();
        let deadline = state.options.deadline();
        state.materialize();
        deadline
    }

    /// The template that this process is or will be forked from, and the first error.
    pub(crate) fn base(&self) -> (Arc<TemplateHandle>, Option<Error>) {
        let state = self.state();
        (Arc::clone(&state.base), state.setup.error())
    }

    /// Makes the launch fail: the attributes' code calls it where a call has no meaning.
    #[doc(hidden)]
    #[must_use]
    pub fn refuse(self, message: &str) -> Process {
        self.fail(Error::new(ErrorKind::BadArgument, message))
    }

    /// Makes the launch fail.
    pub(crate) fn fail(mut self, error: Error) -> Process {
        self.setup().fail(error);
        self
    }

    /// The template to be forked, and what was collected.
    pub(crate) fn into_parts(self) -> (Arc<TemplateHandle>, Setup, Options) {
        let state = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.base, state.setup, state.options)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn setup(&mut self) -> &mut Setup {
        &mut self.state_mut().setup
    }

    pub(crate) fn options(&mut self) -> &mut Options {
        &mut self.state_mut().options
    }

    pub(super) fn state_mut(&mut self) -> &mut State {
        let state = self.0.get_mut();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}
