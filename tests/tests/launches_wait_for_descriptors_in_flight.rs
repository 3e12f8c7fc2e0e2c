//! The kernel takes so many descriptors of a user that are sent and not received
//! (`ETOOMANYREFS`, unix(7)). A launch waits until there is room, in its time.

use std::process::Command;

use anyfork_tests::births::succeed;
use anyfork_tests::rights::may_become_nobody;

#[test]
fn a_launch_beside_many() {
    if may_become_nobody() {
        succeed(Command::new(env!("CARGO_BIN_EXE_hostile")).arg("in-flight"));
    }
}
