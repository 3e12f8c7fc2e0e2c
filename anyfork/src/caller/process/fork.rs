//! Forks a template off another one.
//! RUNS IN: caller

use std::sync::Arc;

use crate::caller::spawn::Spawn;
use crate::caller::spawn::descriptors::Descriptors;
use crate::caller::spawn::spec::SpawnSpec;
use crate::caller::spec::{Options, Setup};
use crate::caller::templates::handle::TemplateHandle;
use crate::caller::trace::Trace;
use crate::caller::wait;
use crate::error::{Error, Result};
use crate::protocol::request::Role;
use crate::spec::name::FunctionName;
use crate::sys::socket;

/// Asks `base` for a template that prepares itself by `setup`, and does not wait for it:
/// if it fails, the launches from it say why.
pub(crate) fn fork_template(
    base: &Arc<TemplateHandle>,
    mut setup: Setup,
    options: &Options,
) -> Result<TemplateHandle> {
    if base.lost_since().is_some() {
        return Err(base.why_gone());
    }
    let failed = |error| Error::io("fork a template", error);
    let (control, served) = socket::control_pair().map_err(failed)?;
    setup.close_pipes(options);
    let surroundings = setup.surroundings();
    let spec = SpawnSpec {
        role: Role::Template,
        body: setup.into_body(FunctionName::default(), options),
        control: Some(served),
        kill_on_drop: false,
        piped: [false; 3],
        surroundings,
        bounding_set: None,
        deadline: options.deadline(),
    };
    let inits = spec.body.inits();
    let descriptors = Descriptors::open(&spec)?;
    let (spawn, _) = Spawn::start(base, spec, descriptors, Trace::none())?;
    let reply = wait::blocking::sent(spawn)?;
    Ok(TemplateHandle::forked(
        control,
        reply,
        Arc::clone(base),
        inits,
    ))
}
