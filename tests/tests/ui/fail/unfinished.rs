//! A launch, a call or a map that is not finished is named by its type, whose
//! documentation begins with how to finish it.
//!
//! For `?`, the compiler can say no more: the traits of `?` belong to the standard library and
//! are not stable, so no library can give a hint for a type that lacks them. A call is a
//! `Future`, of which the compiler tells more. A launch is only an `IntoFuture`.

use std::os::unix::net::UnixStream;

use anyfork::{Command, Pool, Process};

#[anyfork::worker]
fn greet(_socket: UnixStream, _name: String) {}

#[anyfork::call]
fn double(number: u32) -> u32 {
    2 * number
}

fn main() -> anyfork::Result<()> {
    let pool = Pool::new()?;
    let _ = Command::new("true").output()?;
    let _worker = greet::run(Process::new()?, "world".into())?;
    let _ = greet::run(Process::new()?, "world".into()).socket;
    let _ = greet::run(Process::new()?, "world".into()).unwrap();
    let _ = double::call(&pool, 1)?;
    let _: u32 = double::call(&pool, 1);
    for _ in double::map(&pool, [1, 2]) {}
    Ok(())
}
