//! A process is consumed by what it becomes: several come from `fork`.

use anyfork::Process;

#[anyfork::worker]
fn greet(_name: String) {}

fn main() -> anyfork::Result<()> {
    let process = Process::new()?;
    for name in ["Ada", "Grace"] {
        let _ = greet::run(process, name.into());
    }
    let process = Process::new()?;
    let _ = process.send_arg("Ada").run(greet::NAME);
    let _ = process.send_arg("Grace").run(greet::NAME);
    Ok(())
}
