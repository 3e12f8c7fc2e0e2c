//! An `async fn` worker without the feature `tokio`: the error names the feature.

use crate::Package;

const PACKAGE: Package = Package {
    name: "asynchronous",
    source: "tests/builds/asynchronous.rs",
    profile: "",
};

#[test]
fn of_an_async_worker() {
    let (output, _) = PACKAGE.build(|_| ());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    let error = "error: async workers need anyfork's feature `tokio`";
    assert!(text.contains(error), "{text}");
}
