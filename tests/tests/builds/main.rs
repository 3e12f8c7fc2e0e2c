//! Promises to programs that are built otherwise than this package: the test
//! has Cargo build a package outside of the workspace.

mod aborting_program_reports_why;
mod statically_linked_program_works;
