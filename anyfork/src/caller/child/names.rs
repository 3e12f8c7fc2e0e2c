//! [`Worker`] and [`Child`] without the feature `tokio`: names of launches.
//! RUNS IN: caller
//!
//! `Launch<Worker>` has to be written without the feature, too; nothing can be awaited,
//! so nobody has a value of these.

/// A running worker, for async code.
///
/// Without the feature `tokio`, this type has no values: it only names what a
/// [`Launch`](crate::Launch) leads to, and [`Launch::blocking`](crate::Launch::blocking) gives a
/// [`blocking::Worker`](crate::blocking::Worker).
#[derive(Debug)]
#[non_exhaustive]
pub enum Worker {}

/// A running process, for async code.
///
/// Without the feature `tokio`, this type has no values: it only names what a
/// [`Launch`](crate::Launch) leads to, and [`Launch::blocking`](crate::Launch::blocking) gives a
/// [`blocking::Child`](crate::blocking::Child).
#[derive(Debug)]
#[non_exhaustive]
pub enum Child {}
