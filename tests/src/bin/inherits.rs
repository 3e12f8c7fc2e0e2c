//! A program that a shell has left descriptors to, in the folder that its first
//! argument names: they are its own alone.

use std::env;
use std::io::{self, Read, Write};
use std::process;

use anyfork::Process;
use anyfork_tests::{descriptors, duplicate, held, release, template_of};

#[anyfork::early]
fn main() -> io::Result<()> {
    let folder = env::args().nth(1).expect("a folder");
    let me = process::id();
    let inherited = |pid| {
        let open = descriptors(pid).into_iter();
        let of_folder = open.filter(|(_, link)| link.starts_with(&folder));
        of_folder.collect::<Vec<_>>()
    };
    let numbers = || {
        let open = inherited(me).into_iter();
        open.map(|(number, _)| number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(), [3, 4, 9]);
    let early = Process::early().expect("an early template");
    let templates = [
        Process::new().expect("a template"),
        early.fork().env("NESTED", "1").fork(),
        Process::new_exec().expect("a template"),
        Process::snapshot().expect("one thread"),
    ];
    for process in templates {
        let worker = held(process);
        for pid in [worker.pid(), template_of(&worker)] {
            assert_eq!(inherited(pid), []);
        }
        release(worker);
    }
    // `main` has them as ever.
    assert_eq!(numbers(), [3, 4, 9]);
    let mut text = String::new();
    duplicate(3).read_to_string(&mut text)?;
    duplicate(4).write_all(text.as_bytes())
}
