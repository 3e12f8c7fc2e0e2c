//! Each test that the threat model names for a promise is there.

use std::fs;
use std::path::Path;

#[test]
fn every_test_is_there() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let model = fs::read_to_string(package.join("../anyfork/THREAT_MODEL.md")).unwrap();
    let rows = model.lines().filter(|line| line.matches('|').count() == 5);
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let named = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let named: Vec<_> = named.collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        let test = package.join("tests").join(name);
        let exists = test.with_extension("rs").exists() || test.join("main.rs").exists();
        assert!(exists, "{name}");
    }
}
