//! Promises about one worker: what it is given and how it ends. Each test looks
//! at its own worker alone.

mod confined_worker_exits_as_it_returns;
mod descriptors_arrive_as_their_type;
mod exit_is_reported_as_it_was;
mod values_of_serde_arrive;
mod worker_is_called_like_a_function;
mod worker_is_finished;
mod worker_returns_like_main;

#[anyfork::early]
fn preload() {}
