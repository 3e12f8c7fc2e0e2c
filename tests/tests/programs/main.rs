//! Promises that a program of their own keeps: a test starts it, and looks at
//! what it prints, how it ends and what it leaves.
//!
//! Nothing here has a preload function: [`early_says_why_not`] needs a test
//! program without an early template.

mod commands_inherit_what_is_now;
mod early_says_why_not;
mod environments_are_as_stds;
mod errors_keep_the_systems_number;
mod exec_survives_its_file;
mod library_may_start_its_thread_again;
mod nothing_is_left_of_a_program;
mod processes_have_titles;
mod snapshot_keeps_state;
mod status_reads_nothing;
