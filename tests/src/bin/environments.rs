//! A program whose environment is odd: compares what its children find with what
//! std's do. Exits with 1 where they differ.

use std::ffi::OsStr;
use std::process::ExitCode;

use anyfork::Process;

#[anyfork::early]
fn preload() {}

/// Makes the same calls of both commands, and gives the environment that std's program
/// finds, and those that anyfork's do.
macro_rules! environments {
    ($($method:ident($($arg:expr),*)),*) => {{
        #[allow(unused_mut)]
        let mut stds = std::process::Command::new("/bin/cat");
        stds.arg("/proc/self/environ")$(.$method($($arg),*))*;
        let expected = stds.output().expect("std's program").stdout;
        let bases = [None, Some(Process::new().expect("a template"))];
        let found = bases.map(|base| {
            let mut ours = match base {
                None => anyfork::Command::new("/bin/cat"),
                Some(base) => base.fork().exec("/bin/cat"),
            };
            ours.arg("/proc/self/environ")$(.$method($($arg),*))*;
            ours.output().blocking().expect("a program").stdout
        });
        (stringify!($($method($($arg),*)),*), expected, found)
    }};
}

/// The texts of an environment, whose order has no meaning.
fn sorted(environment: &[u8]) -> Vec<&OsStr> {
    use std::os::unix::ffi::OsStrExt;
    let mut texts: Vec<_> = environment.split(|byte| *byte == 0).collect();
    texts.sort_unstable();
    texts.into_iter().map(OsStr::from_bytes).collect()
}

fn main() -> ExitCode {
    let all = [
        environments!(),
        environments!(env("NEW", "1")),
        environments!(env("TWICE", "3")),
        environments!(env("EMPTY", "x"), env("BYTES", "")),
        environments!(env_remove("TWICE")),
        environments!(env_remove("NAMELESS"), env_remove("=ODD"), env_remove("")),
        environments!(env_clear()),
        environments!(env_clear(), env("TWICE", "1"), env_remove("TWICE")),
        environments!(env("A", "1"), env_clear(), env("B", "2")),
        environments!(env_remove("A"), env("A", "1"), env("A", "2")),
    ];
    let mut code = ExitCode::SUCCESS;
    for (calls, expected, [direct, prepared]) in all {
        // What a preparation has changed is found by its name: a prepared process has
        // variables only.
        for (way, found) in [("direct", direct), ("prepared", prepared)] {
            let (found, expected) = match way {
                "direct" => (sorted(&found), sorted(&expected)),
                _ => (variables(&found), variables(&expected)),
            };
            if found != expected {
                println!("{calls}, {way}: {found:?}, and std's: {expected:?}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// The variables whose names can be set, each with its last value.
fn variables(environment: &[u8]) -> Vec<&OsStr> {
    let name = |text: &&OsStr| text.as_encoded_bytes().iter().position(|it| *it == b'=');
    let mut texts = sorted(environment);
    texts.retain(|text| name(text).is_some_and(|at| at > 0));
    texts.retain(|text| *text != "TWICE=1" || !environment.windows(7).any(|it| it == b"TWICE=2"));
    texts
}
