//! It does not compile: the package has not the feature that its worker needs.

#[anyfork::worker]
async fn greet(_name: String) {}

fn main() {}
