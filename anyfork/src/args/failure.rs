//! How the failure that an `Args` carries gets through an iterator.
//! RUNS IN: caller, child
//!
//! `Process::send_args` takes any iterator: an `Args`, or a chain or a `flat_map`
//! with one inside. An item is an argument, so an iterator has no way to report
//! that one could not be made. The one who collects arguments therefore takes
//! each item with [`next_of`], and an `Args` that comes to its failure calls
//! [`report`], which finds the innermost collector of this thread.

use std::cell::{Cell, RefCell};

use crate::args::value::ArgError;

/// Whether anybody in this thread collects arguments.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Nobody,
    Collecting,
    /// The reason is the last of `REASONS`.
    Failed,
}

thread_local! {
    // Without a destructor: the first access allocates nothing.
    static STATE: Cell<State> = const { Cell::new(State::Nobody) };
    static REASONS: RefCell<Vec<ArgError>> = const { RefCell::new(Vec::new()) };
}

/// The next item, or why the argument in its place could not be made.
pub(crate) fn next_of<I: Iterator>(items: &mut I) -> Result<Option<I::Item>, ArgError> {
    let outer = Outer(STATE.replace(State::Collecting));
    let item = items.next();
    let reason = take_reason(State::Collecting);
    drop(outer);
    reason.map_or(Ok(item), Err)
}

/// Reports to the innermost collector why an argument could not be made. The first
/// reason counts.
///
/// # Panics
///
/// If nobody in this thread collects arguments.
pub(crate) fn report(reason: ArgError) {
    match STATE.get() {
        State::Nobody => panic!(
            "an argument could not be made: {reason} (`Args::error` says so before the `Args` is \
             taken apart)"
        ),
        State::Collecting => {
            REASONS.with_borrow_mut(|reasons| reasons.push(reason));
            STATE.set(State::Failed);
        }
        State::Failed => {}
    }
}

fn take_reason(then: State) -> Option<ArgError> {
    match STATE.replace(then) {
        State::Failed => REASONS.with_borrow_mut(Vec::pop),
        _ => None,
    }
}

/// The state of the collector around this one, restored also if an iterator
/// panics.
struct Outer(State);

impl Drop for Outer {
    fn drop(&mut self) {
        take_reason(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::iter;
    use std::panic::catch_unwind;

    use super::*;

    /// An iterator that reports `reason` and ends.
    fn failing(reason: &str) -> impl Iterator<Item = u8> {
        iter::from_fn(move || {
            report(ArgError::new(reason));
            None
        })
    }

    fn reason<I: Iterator>(mut items: I) -> Option<String> {
        next_of(&mut items).err().map(|error| error.to_string())
    }

    #[test]
    fn a_failure_gets_through_adaptors() {
        assert_eq!(next_of(&mut [7].into_iter()).unwrap(), Some(7));
        assert_eq!(reason(failing("a")).unwrap(), "a");
        assert_eq!(reason(failing("a").chain([7])).unwrap(), "a");
        assert_eq!(reason(failing("a").chain(failing("b"))).unwrap(), "a");
        assert_eq!(reason([7].into_iter().chain(failing("a"))), None);
    }

    #[test]
    fn each_collector_gets_its_own() {
        let inner = || reason(failing("inner"));
        let mut seen = None;
        let outer = failing("outer").chain(iter::from_fn(|| {
            seen = inner();
            Some(7)
        }));
        assert_eq!(reason(outer).unwrap(), "outer");
        assert_eq!(seen.unwrap(), "inner");
    }

    #[test]
    fn a_panic_in_an_iterator_leaves_no_collector_behind() {
        let broken = || failing("a").chain(iter::from_fn(|| panic!("a test's panic")));
        assert!(catch_unwind(|| reason(broken())).is_err());
        assert!(STATE.get() == State::Nobody);
        assert_eq!(REASONS.with_borrow(Vec::len), 0);
        assert!(catch_unwind(|| failing("nobody asks").next()).is_err());
    }
}
