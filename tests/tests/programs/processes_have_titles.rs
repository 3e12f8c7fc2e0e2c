//! Who lists processes sees what each is and whose; `title` says it in the
//! program's own words; and neither touches the program's own name or what its
//! workers know of its arguments.

use std::os::unix::process::CommandExt;

use anyfork_tests::births::{program, succeed};

const TITLES: &str = env!("CARGO_BIN_EXE_titles");

/// What was left out goes to whoever reads the test's output.
fn run(what: &str) {
    print!("{}", succeed(&mut program(TITLES, what)));
}

#[test]
fn names_say_what_a_process_is_and_whose() {
    run("names");
}

#[test]
fn the_program_is_called_as_it_was_started() {
    succeed(program(TITLES, "names").arg0("/no/such/folder/my own: name"));
}

#[test]
fn a_title_takes_the_place_of_names() {
    run("titles");
}

#[test]
fn arguments_stay_what_they_were() {
    succeed(program(TITLES, "arguments").args(["two words", "", "ä"]));
    // There is room for a title without them, too.
    succeed(program(TITLES, "arguments").arg0("t"));
}

#[test]
fn ps_shows_it() {
    run("ps");
}
