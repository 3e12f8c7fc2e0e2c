//! Promises about one call in a fresh process: what crosses, what its caller is told, and
//! how it is waited for. Each test looks at its own process alone.

mod a_result_ends_its_process;
mod calls_are_waited_for;
mod confined_calls_come_home;
mod failed_calls_say_why;
mod functions_are_called;
mod mismatched_functions_are_refused;
mod plugins_join_in;
mod values_cross;

#[anyfork::early]
fn preload() {}
