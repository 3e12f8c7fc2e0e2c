//! The companion takes what the function takes, and runs on a process or a pool.

use anyfork::Process;

#[anyfork::call]
fn add(one: u32, other: u32) -> u32 {
    one + other
}

fn main() -> anyfork::Result<()> {
    let _ = add::call(Process::new()?, 1);
    let _ = add::call(Process::new()?, 1, "2");
    let _ = add::call("here", 1, 2);
    let _: anyfork::Call<u64> = add::call(Process::new()?, 1, 2);
    add::call(Process::new()?, 1, 2).dawdle();
    Ok(())
}
