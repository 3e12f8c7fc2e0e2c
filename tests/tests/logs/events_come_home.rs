//! Spans and events of workers are told to the caller's subscriber, in the span of their call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyfork::{ErrorKind, Pool};
use anyfork_tests::{Scene, alone, bounded, until};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::{end, process, until_no_thread_is_left};

type Fields = BTreeMap<&'static str, String>;

/// What a subscriber was told of.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    metadata: &'static Metadata<'static>,
    fields: Fields,
    /// The spans around it, the innermost first, and their fields.
    scope: Vec<(&'static str, Fields)>,
}

impl Seen {
    pub(crate) fn message(&self) -> &str {
        self.fields.get("message").map_or("", |it| it)
    }

    fn spans(&self) -> Vec<&'static str> {
        self.scope.iter().map(|it| it.0).collect()
    }

    /// A field of its call.
    fn of_call(&self, field: &str) -> u64 {
        let call = self.scope.iter().find(|it| it.0 == "call").expect("a call");
        call.1[field].parse().expect("a number")
    }
}

struct Values<'a>(&'a mut Fields);

impl Visit for Values<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// Keeps what it is told.
#[derive(Clone, Default)]
pub(crate) struct Keep {
    events: Arc<Mutex<Vec<Seen>>>,
    closed: Arc<Mutex<Vec<(&'static str, Fields)>>>,
    /// Each event waits for so long.
    delay: Option<Duration>,
}

impl Keep {
    pub(crate) fn events(&self) -> Vec<Seen> {
        self.events.lock().unwrap().clone()
    }

    fn closed(&self) -> Vec<&'static str> {
        self.closed.lock().unwrap().iter().map(|it| it.0).collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keep {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Values(&mut fields));
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(&mut Values(span.extensions_mut().get_mut().unwrap()));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Values(&mut fields));
        let scope = context.event_scope(event).into_iter().flatten();
        let scope = scope.map(|span| (span.name(), span.extensions().get().cloned().unwrap()));
        let seen = Seen {
            metadata: event.metadata(),
            fields,
            scope: scope.collect(),
        };
        self.events.lock().unwrap().push(seen);
        self.delay.into_iter().for_each(std::thread::sleep);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let fields = span.extensions().get().cloned().unwrap();
        self.closed.lock().unwrap().push((span.name(), fields));
    }
}

/// Runs with a subscriber that keeps what it is told.
pub(crate) fn observed<T>(keep: &Keep, level: LevelFilter, work: impl FnOnce() -> T) -> T {
    let subscriber = tracing_subscriber::registry().with(keep.clone().with_filter(level));
    with_default(subscriber, work)
}

fn pool() -> Pool {
    Pool::builder(process()).max(2).tracing().build().unwrap()
}

/// The line of the first event, and what it is told.
#[anyfork::call]
fn report(width: u32) -> u32 {
    let line = line!() + 1;
    tracing::warn!(width, ratio = 0.5, is_big = width > 100, name = "a\nb", debug = ?Some(1), "resized {width}");
    let outer = tracing::info_span!("outer", width, height = tracing::field::Empty);
    outer.in_scope(|| {
        outer.record("height", width + 1);
        tracing::info!(target: "jobs", "in the span");
        let inner = tracing::debug_span!("inner").entered();
        tracing::debug!("deep {width}");
        drop(inner);
        std::thread::spawn(|| tracing::info!(parent: &tracing::Span::none(), "beside"))
            .join()
            .unwrap();
    });
    line
}

/// And not with its worker.
#[test]
fn a_span_ends_with_the_workers() {
    let _alone = alone();
    let keep = Keep::default();
    observed(&keep, LevelFilter::INFO, || {
        let pool = pool();
        bounded("a call", || report::call(&pool, 10).blocking()).unwrap();
        until("its span is closed", || keep.closed().contains(&"outer"));
        end(pool);
    });
    until_no_thread_is_left();
}

#[anyfork::call]
fn abort() {
    let _span = tracing::info_span!("outer", width = 1, height = 2).entered();
    tracing::error!("about to abort");
    std::process::abort();
}

#[anyfork::call]
fn flood(events: u32) {
    for n in 0..events {
        tracing::info!(n, "{}", "x".repeat(200));
    }
}

#[anyfork::call]
fn fork() {
    // SAFETY: this process has one thread.
    if unsafe { libc::fork() } == 0 {
        tracing::error!("a copy");
        // SAFETY: takes a number.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: writes no status.
    unsafe { libc::wait(std::ptr::null_mut()) };
    tracing::error!("the worker");
}

#[anyfork::call]
fn print_much() {
    let large = "é".repeat(20_000);
    tracing::info!(large, "cut");
}

#[anyfork::init]
fn reports() {
    tracing::info!("in an init function");
}

#[anyfork::init]
fn observes() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap();
}

#[test]
fn events_are_in_the_span_of_their_call() {
    let _alone = alone();
    let scene = Scene::early();
    let keep = Keep::default();
    let mut lines = BTreeMap::new();
    observed(&keep, LevelFilter::TRACE, || {
        let pool = pool();
        let calls: Vec<_> = (0..40).map(|n| report::call(&pool, n)).collect();
        for call in calls {
            let id = call.id();
            lines.insert(id, bounded("a call", || call.blocking()).unwrap());
        }
        end(pool);
    });
    let events = keep.events();
    let by_message = |id: u64, message: &str| {
        let mut found = events.iter().filter(|it| {
            it.metadata.target() != "anyfork" && it.of_call("id") == id && it.message() == message
        });
        let event = found
            .next()
            .unwrap_or_else(|| panic!("no {message} of {id}"));
        assert!(found.next().is_none());
        event.clone()
    };
    for ((id, line), n) in lines.iter().zip(0..) {
        let event = by_message(*id, &format!("resized {n}"));
        assert_eq!(event.spans(), ["call"]);
        assert_eq!(*event.metadata.level(), Level::WARN);
        assert_eq!(event.metadata.target(), module_path!());
        assert_eq!(event.metadata.module_path(), Some(module_path!()));
        assert_eq!(event.metadata.file(), Some(file!()));
        assert_eq!(event.metadata.line(), Some(*line));
        for (field, value) in [
            ("width", n.to_string()),
            ("ratio", "0.5".to_owned()),
            ("is_big", "false".to_owned()),
            ("name", "\"a\\nb\"".to_owned()),
            ("debug", "Some(1)".to_owned()),
        ] {
            assert_eq!(event.fields[field], value);
        }
        assert_ne!(event.of_call("pid"), u64::from(std::process::id()));

        let event = by_message(*id, "in the span");
        assert_eq!(event.metadata.target(), "jobs");
        assert_eq!(event.spans(), ["outer", "call"]);
        let outer = &event.scope[0].1;
        assert_eq!(outer["width"], n.to_string());
        assert_eq!(outer["height"], (n + 1).to_string());

        let event = by_message(*id, &format!("deep {n}"));
        assert_eq!(event.spans(), ["inner", "outer", "call"]);
    }
    let beside = events.iter().filter(|it| it.message() == "beside");
    assert!(beside.clone().all(|it| it.spans() == ["call"]));
    assert_eq!(beside.count(), 40);
    let closed = keep.closed();
    let count = |name: &str| closed.iter().filter(|it| **it == name).count();
    assert_eq!([count("inner"), count("outer"), count("call")], [40; 3]);
    scene.must_return();
}

#[test]
fn what_a_worker_does_beside_its_calls_is_in_a_span_of_its_own() {
    let _alone = alone();
    let keep = Keep::default();
    observed(&keep, LevelFilter::INFO, || {
        let pool = Pool::builder(process()).max(1).tracing();
        let pool = pool.init(reports::NAME, anyfork::args![]).build().unwrap();
        bounded("a call", || flood::call(&pool, 1).blocking()).unwrap();
        end(pool);
    });
    let events = keep.events();
    let init = events
        .iter()
        .find(|it| it.message() == "in an init function")
        .unwrap();
    assert_eq!(init.spans(), ["worker"]);
    let other = events
        .iter()
        .find(|it| it.message().starts_with("xxx"))
        .unwrap();
    assert_eq!(init.scope[0].1["pid"], other.of_call("pid").to_string());
    assert!(keep.closed().contains(&"worker"));
}

#[test]
fn the_last_events_of_a_worker_that_dies_come() {
    let _alone = alone();
    let keep = Keep::default();
    observed(&keep, LevelFilter::TRACE, || {
        let pool = pool();
        let error = bounded("a call", || abort::call(&pool).blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Died);
        until("its span has ended", || keep.closed().contains(&"outer"));
        end(pool);
    });
    let events = keep.events();
    let last = events
        .iter()
        .find(|it| it.message() == "about to abort")
        .unwrap();
    assert_eq!(last.spans(), ["outer", "call"]);
}

#[test]
fn levels_that_nobody_wants_do_not_come() {
    let _alone = alone();
    let keep = Keep::default();
    observed(&keep, LevelFilter::INFO, || {
        let pool = pool();
        bounded("a call", || report::call(&pool, 1).blocking()).unwrap();
        end(pool);
    });
    let events = keep.events();
    let messages: Vec<_> = events.iter().map(Seen::message).collect();
    assert_eq!(messages, ["resized 1", "in the span", "beside"]);
    assert!(!keep.closed().contains(&"inner"));
}

#[test]
fn what_is_left_out_is_counted() {
    const EVENTS: u32 = 30_000;
    let _alone = alone();
    let keep = Keep {
        // Longer than a pool waits for an observer.
        delay: Some(Duration::from_millis(1500)),
        ..Keep::default()
    };
    observed(&keep, LevelFilter::INFO, || {
        let pool = pool();
        let call = flood::call(&pool, EVENTS);
        bounded("a call", || call.blocking()).unwrap();
        until("some are told", || keep.events().len() >= 3);
        end(pool);
        until_no_thread_is_left();
    });
    let events = keep.events();
    let left_out = events
        .iter()
        .find_map(|it| it.fields.get("left_out"))
        .expect("a warning");
    let left_out: u32 = left_out.parse().unwrap();
    assert!((1000..EVENTS).contains(&left_out), "{left_out}");
}

#[test]
fn a_copy_of_a_worker_reports_nothing() {
    let _alone = alone();
    let keep = Keep::default();
    observed(&keep, LevelFilter::INFO, || {
        let pool = pool();
        bounded("a call", || fork::call(&pool).blocking()).unwrap();
        end(pool);
    });
    let events = keep.events();
    let messages: Vec<_> = events.iter().map(Seen::message).collect();
    assert_eq!(messages, ["the worker"]);
}

#[test]
fn long_values_are_cut() {
    let _alone = alone();
    let keep = Keep::default();
    observed(&keep, LevelFilter::INFO, || {
        let pool = pool();
        bounded("a call", || print_much::call(&pool).blocking()).unwrap();
        end(pool);
    });
    let events = keep.events();
    let large = &events[0].fields["large"];
    assert!(large.len() < 17_000, "{}", large.len());
    assert!(
        large.ends_with("bytes left out)\""),
        "{}",
        &large[large.len() - 100..]
    );
}

#[test]
fn a_template_with_a_subscriber_is_refused() {
    let _alone = alone();
    let process = process().init(observes::NAME, anyfork::args![]);
    let pool = Pool::builder(process).max(1).tracing().build().unwrap();
    let error = bounded("a call", || flood::call(&pool, 1).blocking()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InitFailed);
    assert!(error.to_string().contains("subscriber"), "{error}");
    end(pool);
}
