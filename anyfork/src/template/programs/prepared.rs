//! [`Prepared`]: what a program's child has of its template.
//! RUNS IN: template

use std::ffi::OsString;
use std::hint::black_box;

use crate::child::baseline;
use crate::sys::attributes::{Attributes, Status};
use crate::sys::signal;

/// What a child has of its template, in which no code of the program's runs any more.
pub(super) struct Prepared {
    pub(super) attributes: Attributes,
    /// The signals that have handlers.
    pub(super) handled: u64,
    /// The variables that the preparation has changed.
    pub(super) changed: Vec<(OsString, Option<OsString>)>,
}

impl Prepared {
    pub(super) fn now() -> Prepared {
        Prepared {
            attributes: Attributes::now(&Status::now()),
            handled: signal::handled(),
            changed: baseline::changed_variables(),
        }
    }
}

/// Overwrites what is about to be freed.
pub(super) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}
