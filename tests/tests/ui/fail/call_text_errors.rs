//! `text_errors` is for the errors of a `Result`.

#[anyfork::call(text_errors)]
fn no_result() -> u8 {
    1
}

#[anyfork::call(text_errors)]
fn nothing() {}

struct Silent;

#[anyfork::call(text_errors)]
fn no_text() -> Result<u8, Silent> {
    Err(Silent)
}

fn main() {}
