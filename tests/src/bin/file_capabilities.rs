//! A program whose file may have capabilities, which says whether its templates and their
//! workers have them.

use std::fmt::Write as _;
use std::os::unix::net::UnixStream;
use std::process;

use anyfork::Process;
use anyfork_tests::{rest_of, status};

#[anyfork::worker]
fn capabilities(mut socket: UnixStream) -> std::io::Result<()> {
    std::io::Write::write_all(&mut socket, status(process::id(), "CapEff").as_bytes())
}

fn of_worker(process: anyfork::Result<Process>) -> anyfork::Result<String> {
    let mut worker = capabilities::run(process?).blocking()?;
    let text = rest_of(&mut worker);
    assert!(worker.wait()?.success());
    Ok(text)
}

#[anyfork::early]
fn main() {
    let mut text = String::new();
    let own = status(process::id(), "CapEff");
    writeln!(text, "program: {own:?}").expect("a string");
    for (name, process) in [
        ("early", Process::early()),
        ("new", Process::new()),
        ("exec", Process::new_exec()),
    ] {
        writeln!(text, "{name}: {:?}", of_worker(process)).expect("a string");
    }
    // Everything is given up.
    let empty = [0u32; 6];
    let header = [0x2008_0522u32, 0];
    // SAFETY: reads two structures of the kernel's layout (capset(2)).
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), empty.as_ptr()) };
    assert_eq!(set, 0);
    writeln!(text, "without: {:?}", of_worker(Process::new())).expect("a string");
    print!("{text}");
}
