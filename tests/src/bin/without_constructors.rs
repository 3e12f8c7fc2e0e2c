//! A program whose template is to run none of its constructors. Prints how often one
//! has run in `main` and in workers.

use std::env;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyfork::Process;
use anyfork_tests::text_of;

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

static CONSTRUCTED: AtomicU32 = AtomicU32::new(0);

extern "C" fn construct() {
    CONSTRUCTED.fetch_add(1, Ordering::Relaxed);
    if env::var("CONSTRUCTOR").as_deref() == Ok("thread") {
        drop(thread::spawn(thread::park));
    }
}

#[anyfork::worker]
fn count(mut socket: UnixStream) -> io::Result<()> {
    write!(socket, "{}", CONSTRUCTED.load(Ordering::Relaxed))
}

#[anyfork::early(constructors = false)]
fn main() {
    let constructed = CONSTRUCTED.load(Ordering::Relaxed);
    let early = Process::early().expect("an early template");
    let exec = Process::new_exec().expect("a template");
    let [early, exec] = [early, exec].map(|process| text_of(count::run(process)));
    println!("main {constructed}, early {early}, exec'ed {exec}");
}
