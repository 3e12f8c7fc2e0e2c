//! Promises about `Exit::failure`.

mod failures_come_from_everywhere;
mod failures_come_home;

#[anyfork::early]
fn preload() {}
