//! With the feature `tracing`, an observer is told of each call in a pool in a span of its
//! own, and of its failure in an event there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use anyfork::{Pool, Process};
use anyfork_tests::{bounded, runtime};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_global_default;
use tracing::{Event, Metadata, Subscriber};

#[anyfork::early]
fn preload() {}

#[anyfork::call]
fn half(n: u32) -> u32 {
    assert!(n.is_multiple_of(2), "{n} is odd");
    n / 2
}

/// What is told of spans named `call`.
#[derive(Default)]
struct Told {
    fields: BTreeMap<&'static str, String>,
    events: usize,
    handles: usize,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

static TOLD: Mutex<BTreeMap<u64, Told>> = Mutex::new(BTreeMap::new());

fn told() -> MutexGuard<'static, BTreeMap<u64, Told>> {
    TOLD.lock().unwrap()
}

struct Observer;

impl Subscriber for Observer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "anyfork" && (metadata.is_event() || metadata.name() == "call")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut new = Told {
            handles: 1,
            ..Told::default()
        };
        span.record(&mut new);
        told().insert(id, new);
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(told().get_mut(&span.into_u64()).unwrap());
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if let Some(span) = event.parent() {
            told().get_mut(&span.into_u64()).unwrap().events += 1;
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}

    fn clone_span(&self, id: &Id) -> Id {
        told().get_mut(&id.into_u64()).unwrap().handles += 1;
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut all = told();
        let told = all.get_mut(&id.into_u64()).unwrap();
        told.handles -= 1;
        told.handles == 0
    }
}

#[test]
fn each_call_has_a_span() {
    set_global_default(Observer).unwrap();
    let process = Process::new().unwrap();
    let pool = Pool::builder(process).max(1).build().unwrap();
    let call = half::call(&pool, 4);
    let first = call.id().to_string();
    assert_eq!(bounded("a call", || call.blocking()).unwrap(), 2);
    let call = half::call(&pool, 5);
    let second = call.id().to_string();
    runtime().block_on(call).unwrap_err();
    let results = half::map(&pool, [2, 4, 5, 6]).chunk(2).blocking();
    let failed = bounded("a map", || results.filter(Result::is_err).count());
    assert_eq!(failed, 1);
    // A span for each chunk, and for the item behind the one that has failed.
    let of_map = |all: &BTreeMap<u64, Told>| {
        let later = all
            .values()
            .filter(|it| it.fields["id"] != first && it.fields["id"] != second);
        let counts = later.map(|it| (it.events, it.handles, it.fields.contains_key("micros")));
        counts.collect::<Vec<_>>()
    };
    assert_eq!(of_map(&told()), [(0, 0, true), (1, 0, true), (0, 0, true)]);
    for (id, events) in [(first, 0), (second, 1)] {
        let all = told();
        let mut of_call = all.values().filter(|it| it.fields["id"] == id);
        let told = of_call.next().unwrap();
        assert!(of_call.next().is_none());
        assert_eq!(told.fields["function"], format!("{:?}", half::NAME));
        assert!(told.fields.contains_key("micros"));
        assert_eq!((told.events, told.handles), (events, 0));
    }
}
