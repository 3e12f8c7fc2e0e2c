//! Large values go both ways without a copy of all, and without a deadlock: the peak of
//! the caller's memory is at most 2.5 times the data.

use anyfork_tests::births::{program, succeed};

#[test]
fn of_the_caller() {
    for what in ["both-ways", "awaited", "mixed"] {
        let text = succeed(&mut program(env!("CARGO_BIN_EXE_large_calls"), what));
        let times: f64 = text.trim().parse().unwrap();
        assert!(
            (1.0..=2.5).contains(&times),
            "{what}: {times} times the data"
        );
    }
}
