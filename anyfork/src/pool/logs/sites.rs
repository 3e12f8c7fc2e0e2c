//! [`Known`]: the places in the source of workers' spans and events, as callsites here.
//! RUNS IN: caller
//!
//! Observers keep references to callsites for ever, so each is made once and stays. Their
//! number is bounded: workers may be other people's.

use std::collections::HashMap;
use std::sync::{Mutex, Once, OnceLock, PoisonError};

use tracing::dispatcher::Dispatch;
use tracing::field::FieldSet;
use tracing::level_filters::LevelFilter;
use tracing::metadata::Kind;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_core::callsite::{self, Callsite};

use crate::protocol::trace::Site;

/// Maximum number of places in the source.
const MAXIMUM_SITES: usize = 4096;

type Sites = HashMap<(bool, Box<[u8]>), &'static Known>;

static SITES: Mutex<Option<Sites>> = Mutex::new(None);

/// A callsite that stands for one in workers.
pub(crate) struct Known {
    metadata: OnceLock<Metadata<'static>>,
    registered: Once,
}

impl Callsite for Known {
    /// The observer is asked each time: it may be another one.
    fn set_interest(&self, _interest: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        self.get()
    }
}

impl Known {
    /// The callsite of that place, which the observer of this thread is told of when it is
    /// new. `None`: it makes no sense, or there are too many.
    pub(crate) fn find(is_span: bool, site: &[u8]) -> Option<&'static Known> {
        let key = (is_span, site.into());
        let mut sites = SITES.lock().unwrap_or_else(PoisonError::into_inner);
        let sites_by_key = sites.get_or_insert_default();
        let known = match sites_by_key.get(&key) {
            Some(known) => *known,
            None if sites_by_key.len() >= MAXIMUM_SITES => return None,
            None => {
                let known = Known::new(is_span, &Site::parse(site).ok()?);
                sites_by_key.insert(key, known);
                known
            }
        };
        drop(sites);
        // Without the lock: observers are others' code.
        known.registered.call_once(|| callsite::register(known));
        Some(known)
    }

    fn new(is_span: bool, site: &Site<'_>) -> &'static Known {
        let known: &'static Known = Box::leak(Box::new(Known {
            metadata: OnceLock::new(),
            registered: Once::new(),
        }));
        let names: Vec<&'static str> = site.fields.iter().copied().map(leaked).collect();
        let fields = FieldSet::new(names.leak(), tracing_core::identify_callsite!(known));
        let level = match site.level {
            1 => Level::ERROR,
            2 => Level::WARN,
            3 => Level::INFO,
            4 => Level::DEBUG,
            _ => Level::TRACE,
        };
        let kind = match is_span {
            true => Kind::SPAN,
            false => Kind::EVENT,
        };
        let metadata = Metadata::new(
            leaked(site.name),
            leaked(site.target),
            level,
            site.file.map(leaked),
            site.line,
            site.module.map(leaked),
            fields,
            kind,
        );
        let _ = known.metadata.set(metadata);
        known
    }

    pub(crate) fn get(&self) -> &Metadata<'static> {
        self.metadata.get().expect("set where it is made")
    }

    /// Whether this observer wants to know of it.
    pub(crate) fn is_enabled(&self, dispatch: &Dispatch) -> bool {
        *self.get().level() <= LevelFilter::current() && dispatch.enabled(self.get())
    }
}

fn leaked(text: &str) -> &'static str {
    text.to_owned().leak()
}
