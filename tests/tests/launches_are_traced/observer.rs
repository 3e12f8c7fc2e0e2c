//! What an observer is told by the library's spans and events, of the launches
//! that a test's own thread begins.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_global_default;
use tracing::{Event, Level, Metadata, Subscriber};

/// The fields of a span or an event, in the order that they were told in.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// The value of a field that has been told once.
    #[track_caller]
    pub fn get(&self, name: &str) -> &str {
        let mut found = self.0.iter().filter(|(field, _)| *field == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => value,
            _ => panic!("{name} once in {self:?}"),
        }
    }

    pub fn number(&self, name: &str) -> u64 {
        self.get(name).parse().expect("a number")
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(field, _)| *field == name)
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").unwrap();
        self.0.push((field.name(), text));
    }
}

/// A span, as it has been told so far.
#[derive(Clone, Debug)]
pub struct Reported {
    name: &'static str,
    level: Level,
    pub fields: Fields,
    pub events: Vec<(Level, Fields)>,
    /// How many there are of the span; it is over when none is.
    pub handles: usize,
}

thread_local! {
    /// Those that this thread has begun. In these tests all that happens to
    /// them happens here.
    static SPANS: RefCell<BTreeMap<u64, Reported>> = const { RefCell::new(BTreeMap::new()) };
}

/// Writes down what this library tells.
struct Observer;

fn with_span<T>(id: &Id, then: impl FnOnce(&mut Reported) -> T) -> T {
    SPANS.with_borrow_mut(|spans| then(spans.get_mut(&id.into_u64()).expect("of this thread")))
}

impl Subscriber for Observer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "anyfork"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut reported = Reported {
            name: span.metadata().name(),
            level: *span.metadata().level(),
            fields: Fields::default(),
            events: Vec::new(),
            handles: 1,
        };
        span.record(&mut reported.fields);
        SPANS.with_borrow_mut(|spans| spans.insert(id, reported));
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        with_span(span, |reported| values.record(&mut reported.fields));
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let span = event.parent().expect("a span");
        with_span(span, |reported| {
            reported.events.push((*event.metadata().level(), fields))
        });
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}

    fn clone_span(&self, id: &Id) -> Id {
        with_span(id, |reported| reported.handles += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        with_span(&id, |reported| {
            reported.handles -= 1;
            reported.handles == 0
        })
    }
}

/// Forgets what this thread was told before, and begins to observe.
pub fn observe() {
    static OBSERVED: OnceLock<()> = OnceLock::new();
    OBSERVED.get_or_init(|| set_global_default(Observer).unwrap());
    SPANS.take();
}

/// What there is to tell of the one launch that this thread has begun.
#[track_caller]
pub fn reported() -> Reported {
    let spans = SPANS.with_borrow(|spans| spans.values().cloned().collect::<Vec<_>>());
    let [reported] = &spans[..] else {
        panic!("one launch in {spans:?}");
    };
    assert_eq!((reported.name, reported.level), ("launch", Level::INFO));
    reported.clone()
}

/// The one event of the one launch.
#[track_caller]
pub fn event(level: Level) -> Fields {
    let reported = reported();
    let [(its_level, fields)] = &reported.events[..] else {
        panic!("one event in {reported:?}");
    };
    assert_eq!(*its_level, level, "{reported:?}");
    fields.clone()
}

/// Whether this thread has begun no launch.
pub fn nothing_reported() -> bool {
    SPANS.with_borrow(BTreeMap::is_empty)
}
