//! A program with an early template, whose commands inherit what it changes.

#[path = "inherits_now/changes.rs"]
mod changes;

#[anyfork::early]
fn main() {
    changes::main();
}
