//! [`Job`]: what a spawn starts.
//! RUNS IN: caller

use std::sync::Arc;
use std::time::Instant;

use crate::caller::templates::handle::TemplateHandle;
use crate::caller::trace::Trace;
use crate::protocol::request::Role;

/// What is started, and from which template.
pub(crate) struct Job {
    pub(crate) template: Arc<TemplateHandle>,
    /// Its name in messages.
    pub(crate) what: String,
    pub(crate) role: Role,
    pub(crate) kill_on_drop: bool,
    /// The names of the init functions that the child runs.
    pub(crate) inits: String,
    /// The time at which it must be ready.
    pub(crate) deadline: Option<Instant>,
    pub(crate) trace: Trace,
}
