//! A thread that a library starts again in each fork is not taken for one that a preload
//! or an init function has left.

use anyfork_tests::births::{program, succeed};

#[test]
fn in_each_template() {
    succeed(&mut program(
        env!("CARGO_BIN_EXE_thread_in_every_child"),
        "",
    ));
}
