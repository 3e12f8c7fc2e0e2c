//! Another build of a test's program: what it is called for has changed, or has not.

#[anyfork::call(name = "same")]
fn same(number: u32, text: Option<String>) -> Result<u64, String> {
    assert_eq!(text.as_deref(), Some("x"));
    Err(format!("the other build has {number}"))
}

type Id = i32;

#[anyfork::call(name = "another parameter")]
fn parameter(number: Id) -> u8 {
    number as u8
}

#[anyfork::call(name = "another result")]
fn result(number: u32) -> u8 {
    number as u8
}

#[anyfork::call(name = "another order")]
fn order(height: u32, width: u32) -> u32 {
    width - height
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Point {
    x: u8,
    y: u8,
}

#[anyfork::call(name = "another structure")]
fn structure(point: Point) -> u8 {
    point.x + point.y
}

fn main() {}
