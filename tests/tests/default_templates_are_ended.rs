//! A program can end its default templates: nothing is started from them any more,
//! their workers go on, and the next start makes a template of what the program is
//! then.

use anyfork_tests::births::{program, succeed};
use anyfork_tests::rights::{SYS_ADMIN, may};

fn end(what: &str) {
    succeed(&mut program(env!("CARGO_BIN_EXE_ends_default"), what));
}

#[test]
fn nothing_is_started_from_them_any_more() {
    end("ends");
}

#[test]
fn the_next_is_in_the_programs_namespaces() {
    if may(SYS_ADMIN) {
        end("namespace");
    }
}
