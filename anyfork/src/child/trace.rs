//! [`Courier`]: the subscriber of a worker whose spans and events go home to its caller.
//! RUNS IN: child
//!
//! It encodes what it is told, and sends it through a socket of its own: in order, and
//! waiting when the caller is behind, as for what a worker prints.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::dispatcher::{self, Dispatch};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::args::value::Arg;
use crate::entry::Entry;
use crate::entry::outcome::Outcome;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::trace::{MAXIMUM_FIELDS, Report, Site, Value};
use crate::registry::Function;
use crate::spec::name::{CallLoop, TRACE_INIT};
use crate::sys::fork_mark::ForkMark;
use crate::sys::socket::{self, Wait};

/// The init function that installs it. It is in no list of the program's.
pub(crate) static INIT: Function = Function {
    name: TRACE_INIT,
    identity: TypeId::of::<CallLoop>,
    enter: install,
};

/// Takes the socket and the level.
fn install(entry: &mut Entry) -> Result<Outcome> {
    let args: Vec<Arg> = entry.rest().collect();
    let Ok([Arg::Fd(socket), Arg::Bytes(level)]) = <[Arg; 2]>::try_from(args) else {
        return Err(Error::new(ErrorKind::Protocol, "no socket for events"));
    };
    let mark = ForkMark::new().map_err(|error| Error::io("mark a worker", error))?;
    let courier = Courier {
        socket: UnixStream::from(socket),
        mark,
        level: filter(level.first().copied().unwrap_or(0)),
        latest: AtomicU64::new(0),
        open: Mutex::default(),
        sending: Mutex::default(),
    };
    dispatcher::set_global_default(Dispatch::new(courier)).map_err(|_| {
        let message = "the worker has a subscriber of its own, which its template has set: its \
                       events cannot be sent to the program";
        Error::new(ErrorKind::InitFailed, message)
    })?;
    Ok(Outcome::SUCCESS)
}

fn filter(level: u8) -> LevelFilter {
    match level {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

struct Courier {
    socket: UnixStream,
    mark: ForkMark,
    /// What the caller wanted when the worker was started.
    level: LevelFilter,
    /// The number of the latest span.
    latest: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
    /// Frames do not mix.
    sending: Mutex<()>,
}

/// A span that is open.
struct Open {
    handles: usize,
    metadata: &'static Metadata<'static>,
}

thread_local! {
    /// The spans that this thread is in.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// The innermost span that this thread is in, or 0.
fn current() -> u64 {
    let innermost = ENTERED.try_with(|it| it.borrow().last().copied());
    innermost.ok().flatten().unwrap_or(0)
}

impl Courier {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, report: &Report<'_>) {
        // A copy of this process, which a function has forked, has no caller.
        if self.mark.is_copy() {
            return;
        }
        let frame = report.encode();
        let mut rest = &frame[..];
        let _sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        while !rest.is_empty() {
            match socket::send_or_wait(self.socket.as_fd(), Wait::Yes, rest, &[]) {
                Ok(len) => rest = &rest[len..],
                // Nobody listens any more.
                Err(_) => return,
            }
        }
    }
}

impl Subscriber for Courier {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.enabled(metadata) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = self.latest.fetch_add(1, Ordering::Relaxed) + 1;
        let parent = match attributes.parent() {
            Some(parent) => parent.into_u64(),
            None if attributes.is_contextual() => current(),
            None => 0,
        };
        let metadata = attributes.metadata();
        let new = Open {
            handles: 1,
            metadata,
        };
        self.open().insert(id, new);
        let mut values = Values::default();
        attributes.record(&mut values);
        let report = Report::Span {
            id,
            parent,
            site: &site(metadata),
            values: values.0,
        };
        self.send(&report);
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut new = Values::default();
        values.record(&mut new);
        self.send(&Report::Record {
            id: span.into_u64(),
            values: new.0,
        });
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let parent = match event.parent() {
            Some(parent) => parent.into_u64(),
            None if event.is_contextual() => current(),
            None => 0,
        };
        let mut values = Values::default();
        event.record(&mut values);
        self.send(&Report::Event {
            parent,
            site: &site(event.metadata()),
            values: values.0,
        });
    }

    fn enter(&self, span: &Id) {
        let _ = ENTERED.try_with(|it| it.borrow_mut().push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        let _ = ENTERED.try_with(|it| {
            let mut entered = it.borrow_mut();
            if let Some(at) = entered.iter().rposition(|it| *it == span.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(open) = self.open().get_mut(&id.into_u64()) {
            open.handles += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let id = id.into_u64();
        let mut all = self.open();
        let Some(open) = all.get_mut(&id) else {
            return false;
        };
        open.handles -= 1;
        if open.handles > 0 {
            return false;
        }
        all.remove(&id);
        drop(all);
        self.send(&Report::Close { id });
        true
    }

    fn current_span(&self) -> tracing_core::span::Current {
        let id = current();
        match self.open().get(&id) {
            Some(open) => tracing_core::span::Current::new(Id::from_u64(id), open.metadata),
            None => tracing_core::span::Current::none(),
        }
    }
}

/// The encoded place in the source.
fn site(metadata: &Metadata<'_>) -> Vec<u8> {
    let level = match *metadata.level() {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    };
    let fields = metadata.fields().iter().take(MAXIMUM_FIELDS);
    let whole = Site {
        level,
        name: metadata.name(),
        target: metadata.target(),
        file: metadata.file(),
        line: metadata.line(),
        module: metadata.module_path(),
        fields: fields.map(|it| it.name()).collect(),
    };
    whole.encode().unwrap_or_else(|| {
        let short = Site {
            level,
            name: "a place in the source with a long name",
            target: "anyfork",
            file: None,
            line: None,
            module: None,
            fields: Vec::new(),
        };
        short.encode().unwrap_or_default()
    })
}

/// Collects the values of fields.
#[derive(Default)]
struct Values(Vec<(u8, Value)>);

impl Values {
    fn push(&mut self, field: &Field, value: Value) {
        if self.0.len() < MAXIMUM_FIELDS && field.index() < MAXIMUM_FIELDS {
            self.0.push((field.index() as u8, value));
        }
    }
}

impl Visit for Values {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Str(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::U64(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, Value::F64(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Bool(value));
    }
}
