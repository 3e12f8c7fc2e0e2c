//! The same without an early template: one is exec'ed.

#[path = "inherits_now/changes.rs"]
mod changes;

fn main() {
    changes::main();
}
