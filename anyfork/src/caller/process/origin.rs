//! [`Origin`]: how a process was made that began with `Process::new`, to make it again.
//! RUNS IN: caller

use std::sync::Arc;

use crate::caller::spec::Setup;

/// What was collected for a process, from `Process::new` on.
pub(crate) struct Origin {
    before: Option<Arc<Origin>>,
    setup: Setup,
}

impl Origin {
    /// A fork of the default template.
    pub(crate) fn new() -> Arc<Origin> {
        Arc::new(Origin {
            before: None,
            setup: Setup::default(),
        })
    }

    /// The same process with this preparation. `None`: it cannot be made again.
    pub(crate) fn with(before: Option<Arc<Origin>>, setup: &Setup) -> Option<Arc<Origin>> {
        let before = before?;
        if setup.has_descriptors() {
            return None;
        }
        Some(Arc::new(Origin {
            before: Some(before),
            setup: setup.try_clone().ok()?,
        }))
    }

    /// All that was collected, in its order.
    pub(crate) fn setup(&self) -> Option<Setup> {
        let mut setup = match &self.before {
            Some(before) => before.setup()?,
            None => Setup::default(),
        };
        setup.append(self.setup.try_clone().ok()?);
        Some(setup)
    }
}
