//! Promises about `Exit::failure`.

mod errors_have_their_sources;
mod failures_come_from_everywhere;
mod failures_come_home;
mod failures_need_no_memory;

#[anyfork::early]
fn preload() {}

/// The place of a panic in `file` whose message says its line, at the fifth column.
fn place_in(file: &str, message: &str) -> String {
    let (_, behind) = message.rsplit_once("line ").expect("it says where");
    let line: String = behind.chars().take_while(char::is_ascii_digit).collect();
    format!("{file}:{line}:5")
}
