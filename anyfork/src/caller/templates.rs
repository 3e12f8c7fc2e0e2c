//! A program's default templates: the early one, and one that is exec'ed at first need.
//! RUNS IN: caller
//!
//! Both keep the rights that the program had when they were made. So the program's rights
//! are compared with those before each use: a program that has given up rights gets
//! another default template, which it executes as it is now, and the old one is ended.

pub(crate) mod adopted;
pub(crate) mod exec;
pub(crate) mod handle;
pub(crate) mod room;
pub(crate) mod startup;
pub(crate) mod usage_timeout;

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::caller::templates::handle::TemplateHandle;
use crate::early;
use crate::early::{EARLY, TemplateSockets};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::fd_identity;
use crate::sys::fd_identity::Identity;
use crate::sys::rights::Rights;

/// The template that `Process::new` forks from: the early one where there is one, else
/// one that is exec'ed. One that has died is replaced.
///
/// Its rights are compared when a request goes to it, by [`with_present_rights`].
pub(crate) fn default() -> Result<Arc<TemplateHandle>> {
    early_for(None).or_else(|_| executed(None))
}

/// The template that was forked before `main`, or why there is none.
pub(crate) fn early() -> Result<Arc<TemplateHandle>> {
    early_for(Rights::now().ok().as_ref())
}

/// The template for a request to `template`: another one if that is the program's default
/// and has other rights than the program has now, or was replaced for such a reason, by
/// another thread or a request that looked at more.
pub(crate) fn with_present_rights(
    template: &Arc<TemplateHandle>,
    bounding_set: Option<u64>,
) -> Result<Arc<TemplateHandle>> {
    let Some(then) = template.rights() else {
        return Ok(Arc::clone(template));
    };
    let rights = Rights::now().ok().map(|rights| match bounding_set {
        Some(set) => rights.with_bounding(set),
        None => rights,
    });
    match rights {
        Some(now) if !now.are_those_of(then) || template.is_replaced() => {
            early_for(Some(&now)).or_else(|_| executed(Some(now)))
        }
        _ => Ok(Arc::clone(template)),
    }
}

/// Ends the early template, for good.
pub(crate) fn end_early() {
    EARLY_ENDED.store(true, Ordering::Relaxed);
    if let Some(early) = EARLY.get()
        && early.generation == early::generation()
        && let Ok(sockets) = &early.sockets
        && sockets.is_open()
    {
        sockets.shut_down();
    }
}

/// Ends the default template that was exec'ed, and forgets it: the next use makes another
/// one.
pub(crate) fn reset_default() {
    if let Some(before) = lock_executed().take() {
        before.end();
    }
}

/// Whether the early template was ended: by the program, or because the program has other
/// rights than it.
static EARLY_ENDED: AtomicBool = AtomicBool::new(false);

/// The default template that was exec'ed, by the process of a generation.
struct Executed {
    generation: u32,
    /// The identity of its control socket when it was made.
    identity: Option<Identity>,
    template: Arc<TemplateHandle>,
}

impl Executed {
    /// Whether this process still has the template's sockets: their numbers may lead to
    /// others by now.
    fn is_ours(&self) -> bool {
        let replaced = fd_identity::leads_elsewhere(self.template.control(), self.identity);
        self.generation == early::generation() && !replaced
    }

    /// Ends the template, if this process still has its sockets.
    fn end(self) {
        match self.is_ours() {
            true => self.template.shut_down(),
            false => mem::forget(self),
        }
    }
}

static EXECUTED: Mutex<Option<Executed>> = Mutex::new(None);

fn lock_executed() -> MutexGuard<'static, Option<Executed>> {
    EXECUTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The exec'ed template, made if there is none for these rights. Of several threads at
/// the same time, one makes it and the others wait.
fn executed(rights: Option<Rights>) -> Result<Arc<TemplateHandle>> {
    let mut current = lock_executed();
    if let Some(before) = current.take_if(|before| !before.serves(rights.as_ref())) {
        if !before.template.fits(rights.as_ref()) {
            before.template.note_replaced();
        }
        before.end();
    }
    if let Some(before) = &*current {
        return Ok(Arc::clone(&before.template));
    }
    let sockets = exec::this_program().map_err(|error| match has_other_rights() {
        true => error.during(
            "this program has given up rights since it began, so it needs a template that is \
             executed with its present rights (make one after giving them up, where the program's \
             file can be executed; or annotate it with `#[anyfork::early(keep_rights)]`)",
        ),
        false => error,
    })?;
    let made = Executed {
        generation: early::generation(),
        identity: sockets.identity,
        template: Arc::new(TemplateHandle::of_program(sockets, Rights::all_now().ok())),
    };
    Ok(Arc::clone(&current.insert(made).template))
}

impl Executed {
    /// Whether it can serve a caller with these rights.
    fn serves(&self, rights: Option<&Rights>) -> bool {
        self.is_ours() && self.template.fits(rights) && !self.template.is_gone()
    }
}

/// Whether the program has other rights than the early template.
fn has_other_rights() -> bool {
    let early = EARLY.get().and_then(|early| early.rights.as_ref());
    let now = Rights::now();
    early.is_some_and(|then| now.is_ok_and(|now| !now.are_those_of(then)))
}

/// The early template, if a caller with these rights may use it.
fn early_for(rights: Option<&Rights>) -> Result<Arc<TemplateHandle>> {
    static EARLY_HANDLE: OnceLock<Result<Arc<TemplateHandle>>> = OnceLock::new();
    let gone = |why: &str| Err(Error::new(ErrorKind::TemplateGone, why));
    let Some(early) = EARLY.get() else {
        return gone(match early::generation() {
            early::FIRST_GENERATION => {
                "no early template: nothing in this program is annotated with `#[anyfork::early]`"
            }
            _ => FORKED,
        });
    };
    if early.generation != early::generation() {
        return gone(FORKED);
    }
    if let Ok(sockets) = &early.sockets
        && !sockets.is_open()
    {
        return gone(CLOSED);
    }
    if EARLY_ENDED.load(Ordering::Relaxed) {
        return gone(ENDED);
    }
    let template = EARLY_HANDLE.get_or_init(|| match &early.sockets {
        Err(error) => Err(error.clone()),
        Ok(sockets) => duplicate(sockets).map(|sockets| {
            let rights = early.rights.clone();
            Arc::new(TemplateHandle::of_program(sockets, rights))
        }),
    });
    let template = template.clone()?;
    if !template.fits(rights) {
        template.note_replaced();
        end_early();
        return gone(ENDED);
    }
    if template.is_gone() {
        template.reap_if_adopted();
        return Err(template.why_gone());
    }
    Ok(template)
}

const FORKED: &str = "no early template: this process was forked by anyfork itself; \
     `Process::new()` makes it a template of its own";

const CLOSED: &str = "no early template: this process has closed the template's descriptors; \
     `Process::new()` makes another one";

const ENDED: &str = "no early template: it was ended by `Process::end_early`, or because the \
     program has given up rights that the template has; `Process::new()` makes another one";

fn duplicate(sockets: &TemplateSockets) -> Result<TemplateSockets> {
    let failed = |error| Error::io("use the early template", error);
    let control = sockets.control.try_clone().map_err(failed)?;
    let reply = sockets.reply.try_clone().map_err(failed)?;
    Ok(TemplateSockets::new(control, reply))
}
