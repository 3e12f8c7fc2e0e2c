//! The example programs, as `cargo test` has built them.

use std::env;
use std::path::PathBuf;

/// The example `name`: tests lie in `deps`, examples beside that.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let path = profile.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is not built; `cargo build --examples` does it, and so does `cargo test` without `--test`",
        path.display(),
    );
    path
}
