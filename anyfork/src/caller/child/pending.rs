//! [`PendingChild`]: a worker or a program that is being launched.
//! RUNS IN: caller

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::caller::spawn::Spawn;
use crate::caller::spawn::spec::SpawnSpec;
use crate::caller::stdio::Streams;
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::trace::Trace;
use crate::error::Result;

/// A spawn, and the caller's ends of the pipes that the child has for standard streams.
/// Dropped, it kills the child.
pub struct PendingChild {
    pub(crate) spawn: Spawn<UnixStream>,
    pub(crate) streams: Streams,
}

impl PendingChild {
    /// Asks the template for the child.
    pub(crate) fn start(
        template: &Arc<TemplateHandle>,
        spec: SpawnSpec,
        streams: Streams,
        trace: &Trace,
    ) -> Result<PendingChild> {
        let spawn = Spawn::start(template, spec, trace.clone())?;
        Ok(PendingChild { spawn, streams })
    }
}
