//! The templates that a program has without asking: the early one, and one
//! that is exec'ed at first need and kept.

pub(crate) mod exec;
pub(crate) mod handle;

use std::mem;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::caller::templates::handle::TemplateHandle;
use crate::early;
use crate::early::{EARLY, TemplateSockets};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::fd_identity;
use crate::sys::fd_identity::Identity;

/// The template that `Process::new` forks from: the early one where there is
/// one, else one that is exec'ed. One that has died is replaced.
pub(crate) fn default() -> Result<Arc<TemplateHandle>> {
    early().or_else(|_| kept())
}

/// A template of the program's, as the process of a generation has it.
struct Kept {
    generation: u32,
    /// What its control socket was when it was made.
    identity: Option<Identity>,
    template: Arc<TemplateHandle>,
}

/// The exec'ed template, made if there is none. Many threads that come at the
/// same time wait for one of them to make it.
fn kept() -> Result<Arc<TemplateHandle>> {
    static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(before) = kept.take() {
        let control = fd_identity::identity(before.template.control());
        if before.generation != early::generation() || before.identity != control {
            // Its descriptors are not open here, or their numbers are another's.
            mem::forget(before);
        } else if !before.template.is_gone() {
            return Ok(Arc::clone(&kept.insert(before).template));
        }
    }
    let end = exec::this_program()?;
    let made = Kept {
        generation: early::generation(),
        identity: end.identity,
        template: Arc::new(TemplateHandle::new(end)),
    };
    Ok(Arc::clone(&kept.insert(made).template))
}

/// The template that was forked before `main`, or why there is none.
pub(crate) fn early() -> Result<Arc<TemplateHandle>> {
    static ORIGIN: OnceLock<Result<Arc<TemplateHandle>>> = OnceLock::new();
    let gone = |why: &str| Err(Error::new(ErrorKind::TemplateGone, why));
    let Some(early) = EARLY.get() else {
        return gone(match early::generation() {
            0 => "no early template: nothing in this program is annotated with `#[anyfork::early]`",
            _ => FORKED,
        });
    };
    if early.generation != early::generation() {
        return gone(FORKED);
    }
    if let Ok(end) = &early.sockets
        && !end.is_open()
    {
        return gone(CLOSED);
    }
    let template = ORIGIN.get_or_init(|| match &early.sockets {
        Err(error) => Err(error.clone()),
        Ok(end) => own(end).map(|end| Arc::new(TemplateHandle::new(end))),
    });
    let template = template.clone()?;
    match template.is_gone() {
        true => Err(template.why_gone()),
        false => Ok(template),
    }
}

const FORKED: &str = "no early template: this process was forked by anyfork itself; \
     `Process::new()` makes it a template of its own";

const CLOSED: &str = "no early template: this process has closed the template's descriptors; \
     `Process::new()` makes another one";

fn own(end: &TemplateSockets) -> Result<TemplateSockets> {
    let failed = |error| Error::io("use the early template", error);
    let control = end.control.try_clone().map_err(failed)?;
    let answer = end.reply.try_clone().map_err(failed)?;
    Ok(TemplateSockets::new(control, answer))
}
