//! [`State`]: what a [`Process`](super::Process) has collected, and the template it has.
//! RUNS IN: caller

use std::mem;
use std::sync::Arc;

use crate::caller::process::fork::fork_template;
#[cfg(feature = "pool")]
use crate::caller::process::origin::Origin;
use crate::caller::spec::{Options, Setup};
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::wait;
use crate::spec::Setting;

pub(super) struct State {
    /// The template from which this process will be forked, or that it is.
    pub(super) base: Arc<TemplateHandle>,
    /// Whether `base` is this process: it was materialized, exec'ed or handed over.
    pub(super) is_base: bool,
    /// What was collected since, and the first error.
    pub(super) setup: Setup,
    /// Number of spares that this process keeps as a template.
    pub(super) spares: u32,
    /// What holds for this process and all that are forked from it.
    pub(super) options: Options,
    /// How it was made, if it can be made again.
    #[cfg(feature = "pool")]
    pub(super) origin: Option<Arc<Origin>>,
}

impl State {
    /// Replaces `base` by a fork of it that has the preparation that was collected, unless
    /// `base` has it.
    pub(super) fn materialize(&mut self) {
        if self.setup.error().is_some() || (self.is_base && self.setup.is_empty()) {
            return;
        }
        let mut setup = mem::take(&mut self.setup);
        let moves_spares = self.is_base && self.spares > 0;
        if moves_spares {
            setup.set(Setting::Spares(self.spares));
        }
        #[cfg(feature = "pool")]
        {
            self.origin = Origin::with(self.origin.take(), &setup);
        }
        // Nobody else can start anything from the template before.
        let is_last = Arc::strong_count(&self.base) == 1;
        match fork_template(&self.base, setup, &self.options) {
            Ok(template) => {
                if moves_spares && is_last {
                    // Its spares do not have the new preparation. If this fails, they
                    // stay until it exits.
                    let deadline = self.options.deadline();
                    let _ = wait::blocking::keep_warm(&self.base, 0, deadline);
                }
                self.base = Arc::new(template);
                self.is_base = true;
            }
            Err(error) => self.setup.fail(error),
        }
    }
}
