//! The kernel takes so many descriptors of a user that are sent and not received
//! (`ETOOMANYREFS`, unix(7)). Whoever sends one waits until there is room: a launch, in its
//! time, a child that answers, a spare, a monitor, a call and its result.

use std::process::Command;

use anyfork_tests::births::succeed;
use anyfork_tests::rights::may_become_nobody;

#[test]
fn all_who_send_descriptors() {
    if may_become_nobody() {
        succeed(&mut Command::new(env!("CARGO_BIN_EXE_in_flight")));
    }
}
