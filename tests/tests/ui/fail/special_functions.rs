//! Workers are ordinary, safe functions. Several errors come at once.

#[anyfork::worker]
unsafe fn not_safe() {}

#[anyfork::worker]
extern "C" fn foreign() {}

#[anyfork::worker(nmae = "a")]
unsafe extern "C" fn all_at_once<T>(_text: &str) {}

fn main() {}
