//! [`Retold`]: spans and events of workers are told to this program's observer.
//! RUNS IN: caller
//!
//! Each goes to the observer that the call began under, and into the span of the call; what
//! belongs to no call goes into a span of its worker. Spans of a worker are made here again,
//! and end there or with the worker.

use std::collections::HashMap;
use std::fmt;

use tracing::field::{self, Field, Value as AnyValue};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, info_span, warn};

use crate::pool::logs::sites::Known;
use crate::pool::logs::told::Frame;
use crate::pool::trace::Home;
use crate::protocol::trace::{MAXIMUM_FIELDS, Report, Value};

/// Maximum number of spans of a pool's workers that are open.
const MAXIMUM_OPEN: usize = 4096;

/// The spans of a pool's workers that are open.
pub(crate) struct Retold {
    /// Where the pool was made.
    home: Home,
    open: HashMap<(u64, u64), Open>,
    workers: HashMap<u64, Home>,
    /// Number of spans and events that were left out, and not told of.
    lost: u64,
}

/// A span that is open in a worker.
struct Open {
    /// The innermost span around that somebody wants to know of, or this.
    id: Option<Id>,
    /// Its own place, if somebody wants to know of it.
    known: Option<&'static Known>,
    home: Home,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let (Some(_), Some(id)) = (self.known, &self.id) {
            self.home.observe(|dispatch| dispatch.try_close(id.clone()));
        }
    }
}

impl Retold {
    pub(crate) fn new(home: Home) -> Retold {
        Retold {
            home,
            open: HashMap::new(),
            workers: HashMap::new(),
            lost: 0,
        }
    }

    /// Tells the observer.
    pub(crate) fn tell(&mut self, frame: Frame) {
        let Frame {
            worker,
            pid,
            home,
            bytes,
            left_out,
        } = frame;
        self.lost += left_out;
        let home = match home {
            Some(home) => home,
            None => self.home_of(worker, pid),
        };
        home.set_pid(pid);
        let is_told = match Report::parse(&bytes) {
            Ok(report) => home.observe(|_| self.report(worker, &home, report)),
            Err(_) => false,
        };
        self.lost += u64::from(!is_told);
        self.tell_lost(&home);
    }

    /// A worker is gone, and its spans end.
    pub(crate) fn forget(&mut self, worker: u64) {
        self.open.retain(|(of, _), _| *of != worker);
        self.workers.remove(&worker);
    }

    /// `false`: it is left out.
    fn report(&mut self, worker: u64, home: &Home, report: Report<'_>) -> bool {
        match report {
            Report::Event {
                parent,
                site,
                values,
            } => {
                let Some(known) = Known::find(false, site) else {
                    return false;
                };
                let (home, parent) = self.place(worker, parent, home);
                home.observe(|dispatch| {
                    if known.is_enabled(dispatch) {
                        with_values(known, &values, |values| {
                            dispatch.event(&Event::new_child_of(parent, known.get(), values));
                        });
                    }
                });
            }
            Report::Span {
                id,
                parent,
                site,
                values,
            } => {
                let known = Known::find(true, site);
                let Some(known) = known.filter(|_| self.open.len() < MAXIMUM_OPEN) else {
                    return false;
                };
                let (home, parent) = self.place(worker, parent, home);
                let made = home.observe(|dispatch| {
                    known.is_enabled(dispatch).then(|| {
                        with_values(known, &values, |values| {
                            dispatch.new_span(&match parent.clone() {
                                Some(parent) => Attributes::child_of(parent, known.get(), values),
                                None => Attributes::new_root(known.get(), values),
                            })
                        })
                    })
                });
                let open = Open {
                    known: made.is_some().then_some(known),
                    id: made.or(parent),
                    home,
                };
                self.open.insert((worker, id), open);
            }
            Report::Record { id, values } => {
                if let Some(open) = self.open.get(&(worker, id))
                    && let (Some(known), Some(id)) = (open.known, &open.id)
                {
                    open.home.observe(|dispatch| {
                        with_values(known, &values, |values| {
                            dispatch.record(id, &Record::new(values));
                        });
                    });
                }
            }
            Report::Close { id } => drop(self.open.remove(&(worker, id))),
        }
        true
    }

    /// The span here that stands for a worker's, with its observer; or that of the call.
    fn place(&self, worker: u64, parent: u64, home: &Home) -> (Home, Option<Id>) {
        match self.open.get(&(worker, parent)) {
            Some(open) => (open.home.clone(), open.id.clone()),
            None => (home.clone(), home.id()),
        }
    }

    /// The span of what a worker does beside its calls.
    fn home_of(&mut self, worker: u64, pid: u32) -> Home {
        let all = &self.home;
        let home = self.workers.entry(worker).or_insert_with(|| {
            all.observe(|dispatch| {
                let span = info_span!(target: "anyfork", "worker", pid);
                Home::new(span, dispatch.clone())
            })
        });
        home.clone()
    }

    fn tell_lost(&mut self, home: &Home) {
        if self.lost > 0 {
            let left_out = std::mem::take(&mut self.lost);
            let text = "spans and events of workers were left out";
            home.observe(|_| {
                warn!(target: "anyfork", parent: home.id(), left_out, "{text}");
            });
        }
    }
}

/// Gives the values as an observer takes them.
fn with_values<T>(
    known: &'static Known,
    values: &[(u8, Value)],
    give: impl FnOnce(&field::ValueSet<'_>) -> T,
) -> T {
    let fields: Vec<Field> = known.get().fields().iter().collect();
    let values: Vec<(&Field, Box<dyn AnyValue + '_>)> = values
        .iter()
        .filter_map(|(index, value)| {
            let field = fields.get(usize::from(*index))?;
            let value: Box<dyn AnyValue> = match value {
                Value::I64(it) => Box::new(*it),
                Value::U64(it) => Box::new(*it),
                Value::F64(it) => Box::new(*it),
                Value::Bool(it) => Box::new(*it),
                Value::Str(it) => Box::new(it.as_str()),
                Value::Text(it) => Box::new(field::debug(Verbatim(it))),
            };
            Some((field, value))
        })
        .collect();
    let Some(first) = fields.first() else {
        return give(&known.get().fields().value_set(&[]));
    };
    let mut all: [(&Field, Option<&dyn AnyValue>); MAXIMUM_FIELDS] = [(first, None); _];
    for (place, (field, value)) in all.iter_mut().zip(&values) {
        *place = (field, Some(&**value));
    }
    give(&known.get().fields().value_set(&all))
}

/// A text that was written by `Debug` before.
struct Verbatim<'a>(&'a str);

impl fmt::Debug for Verbatim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
