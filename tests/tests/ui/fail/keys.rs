//! A wrong key lists the right ones.

#[anyfork::worker(nmae = "a", thread = 1)]
fn unknown() {}

#[anyfork::worker(name = "a", name = "b")]
fn twice() {}

#[anyfork::worker(name)]
fn no_value() {}

#[anyfork::worker(name = 1)]
fn no_string() {}

#[anyfork::worker(name = "")]
fn empty() {}

#[anyfork::worker("a")]
fn no_key() {}

#[anyfork::worker(name("a"))]
fn list() {}

#[anyfork::worker(crate = "anyfork")]
fn quoted_path() {}

fn main() {}
