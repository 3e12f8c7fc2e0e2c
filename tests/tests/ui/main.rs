//! Misuse of an attribute is an error at the token that is wrong, and every
//! supported use compiles under strict lints and runs.
//!
//! `TRYBUILD=overwrite cargo test -p anyfork-tests --test ui` writes the
//! messages anew; read the difference.

#[test]
fn compile_errors_point_at_the_token() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}

#[test]
fn supported_uses_compile_and_run() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}
