//! What the comparison of anyfork's `Command` with std's needs: the cases, the
//! ground that they run on, and what comes of them.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{ExitStatus, Output};

use anyfork::{Command, Process};

use crate::births::Folder;
use crate::{bounded, descriptors, error_number, pipe_with};

/// One case, to be built of either kind of command.
pub struct Case {
    /// What is tried.
    pub name: &'static str,
    /// As std's command.
    pub std: fn(&mut Ground) -> std::process::Command,
    /// As anyfork's, which the function makes.
    pub ours: fn(&mut Ground, &New) -> Command,
}

/// Makes a command from a program.
pub type New<'a> = dyn Fn(&OsStr) -> Command + 'a;

/// A [`Case`]: its name, a name for the [`Ground`], the program, and the methods
/// that are called. `Stdio` is the type that belongs to the command.
#[macro_export]
macro_rules! case {
    ($name:literal, |$ground:pat_param| $program:expr $(, $method:ident($($arg:expr),*))* $(,)?) => {
        $crate::comparison::Case {
            name: $name,
            std: |$ground| {
                #[allow(unused_imports)]
                use std::{os::unix::process::CommandExt as _, process::Stdio};
                let mut command = std::process::Command::new($program);
                $(command.$method($($arg),*);)*
                command
            },
            ours: |$ground, new| {
                #[allow(unused_imports)]
                use anyfork::Stdio;
                let mut command = new(AsRef::<std::ffi::OsStr>::as_ref(&$program));
                $(command.$method($($arg),*);)*
                command
            },
        }
    };
}

/// The folder that a command runs in, the same each time, and what it writes to.
pub struct Ground {
    before: PathBuf,
    folder: Folder,
    opened: BTreeMap<&'static str, OwnedFd>,
    /// The other ends of pipes and sockets, to be read in the end.
    peers: BTreeMap<&'static str, OwnedFd>,
}

impl Ground {
    /// A new one, which this process works in from now on.
    fn new(parent: &str) -> Ground {
        let ground = Ground {
            before: env::current_dir().expect("a directory"),
            folder: Folder::new(parent, "ground"),
            opened: BTreeMap::new(),
            peers: BTreeMap::new(),
        };
        env::set_current_dir(&*ground.folder).expect("a folder");
        for folder in [
            "bin",
            "bin2",
            "plain",
            "closed",
            "own",
            "taken/hello",
            "sub/deeper",
        ] {
            fs::create_dir_all(folder).expect("a folder");
        }
        const HELLO: &str = "#!/bin/sh\necho \"$0 says hello to $*\"\npwd\n";
        for (path, text, mode) in [
            ("bin/hello", HELLO, 0o755),
            ("sub/hello", HELLO, 0o755),
            ("here", HELLO, 0o755),
            ("plain/hello", HELLO, 0o644),
            ("text", "echo is no program\n", 0o755),
            ("empty", "", 0o755),
            ("broken", "\u{7f}ELF\u{2}\u{1}\u{1}", 0o755),
            ("lost", "#!/no/such/interpreter\n", 0o755),
            ("echoing", "#!/bin/echo one argument\n", 0o755),
            ("input", "what is in the file\n", 0o644),
        ] {
            fs::write(path, text).expect("a file");
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
        }
        for (folder, mode) in [("closed", 0), ("own", 0o700)] {
            fs::set_permissions(folder, Permissions::from_mode(mode)).expect("its mode");
        }
        symlink("loop", "loop").expect("a link");
        symlink("sub", "link").expect("a link");
        ground
    }

    /// A path in here, absolute.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Has the caller work in another directory.
    pub fn enter(&mut self, name: &str) {
        env::set_current_dir(name).expect("a directory");
    }

    /// A file to be read.
    pub fn read(&mut self, name: &str) -> OwnedFd {
        File::open(name).expect("a file").into()
    }

    /// A file to be written; the same again if it was asked for before.
    pub fn write(&mut self, name: &'static str) -> OwnedFd {
        self.once(name, |_| File::create(name).expect("a file").into())
    }

    /// As [`write`](Ground::write), at the end of what it has already.
    pub fn append(&mut self, name: &'static str) -> OwnedFd {
        self.once(name, |_| {
            let mut options = OpenOptions::new();
            options.append(true).open(name).expect("a file").into()
        })
    }

    /// The writing end of a pipe; the same again if it was asked for before.
    pub fn pipe(&mut self, name: &'static str) -> OwnedFd {
        self.once(name, |peers| {
            let (read, write) = io::pipe().expect("a pipe");
            peers.insert(name, read.into());
            write.into()
        })
    }

    /// An end of a socket from which comes the text; the same again if it was
    /// asked for before.
    pub fn socket(&mut self, name: &'static str, text: &str) -> OwnedFd {
        self.once(name, |peers| {
            let (mut mine, theirs) = UnixStream::pair().expect("a pair");
            mine.write_all(text.as_bytes()).expect("room");
            mine.shutdown(Shutdown::Write).expect("it is connected");
            peers.insert(name, mine.into());
            theirs.into()
        })
    }

    /// A pipe that holds the text.
    pub fn pipe_with(&mut self, text: &str) -> OwnedFd {
        pipe_with(text)
    }

    fn once(
        &mut self,
        name: &'static str,
        make: impl FnOnce(&mut BTreeMap<&'static str, OwnedFd>) -> OwnedFd,
    ) -> OwnedFd {
        let peers = &mut self.peers;
        let opened = self.opened.entry(name).or_insert_with(|| make(peers));
        opened.try_clone().expect("room")
    }

    /// What all files, pipes and sockets have in the end.
    fn contents(&mut self) -> BTreeMap<String, Vec<String>> {
        self.opened.clear();
        let mut contents = BTreeMap::new();
        for (name, peer) in std::mem::take(&mut self.peers) {
            let mut content = Vec::new();
            let read = File::from(peer).read_to_end(&mut content);
            read.expect("what was written");
            contents.insert(format!("peer {name}"), lines(&content));
        }
        for entry in fs::read_dir(&*self.folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let content = lines(&fs::read(&path).expect("a file"));
                contents.insert(path.display().to_string(), content);
            }
        }
        contents
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Else only root could look into it to remove it.
        let opened = Permissions::from_mode(0o755);
        let _ = fs::set_permissions(self.path("closed"), opened);
        let _ = env::set_current_dir(&self.before);
    }
}

/// What has come of a case: of two runs of one command, and of the ground.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    runs: [Run; 2],
    contents: BTreeMap<String, Vec<String>>,
}

/// What a command has given, or its error.
type Run = Result<(ExitStatus, Vec<String>, Vec<String>), (io::ErrorKind, Option<i32>)>;

fn run(result: Result<Output, (io::ErrorKind, Option<i32>)>) -> Run {
    result.map(|output| (output.status, lines(&output.stdout), lines(&output.stderr)))
}

/// What was printed, as text, for a difference to be seen; without the signals
/// that are ignored, which for std depends on who has started this program.
pub fn lines(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split(|byte| *byte == b'\n');
    let kept = lines.filter(|line| !line.starts_with(b"SigIgn"));
    kept.map(|line| line.escape_ascii().to_string()).collect()
}

fn of_anyfork(error: anyfork::Error) -> (io::ErrorKind, Option<i32>) {
    let number = error_number(&error);
    (io::Error::from(error).kind(), number)
}

/// Does nothing, between a fork and an exec.
#[anyfork::init]
fn nothing() {}

/// Runs the cases through std's command and, in four ways, through anyfork's,
/// twice each: the outcome must be the same. With an init function, the program's child is
/// forked; without one it shares its template's memory.
pub fn compare(parent: &str, cases: &[Case]) {
    close_on_exec_all();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let execed = Process::new_exec().expect("a template");
    let mut differences = String::new();
    for case in cases {
        let expected = outcome(parent, |ground| {
            let mut command = (case.std)(ground);
            [(), ()].map(|()| {
                let output = bounded(case.name, || command.output());
                run(output.map_err(|error| (error.kind(), error.raw_os_error())))
            })
        });
        let blocking = outcome(parent, |ground| {
            let mut command = (case.ours)(ground, &|program| Command::new(program));
            [(), ()].map(|()| {
                let output = bounded(case.name, || command.output().blocking());
                run(output.map_err(of_anyfork))
            })
        });
        let new = || Process::new().expect("a template");
        let awaited = outcome(parent, |ground| {
            let mut command = (case.ours)(ground, &|program| new().exec(program));
            [(), ()].map(|()| {
                let launch = command.output();
                let output = async { launch.await };
                let output = bounded(case.name, || runtime.block_on(output));
                run(output.map_err(of_anyfork))
            })
        });
        let execed = outcome(parent, |ground| {
            let mut command = (case.ours)(ground, &|program| execed.fork().exec(program));
            [(), ()].map(|()| {
                let output = bounded(case.name, || command.output().blocking());
                run(output.map_err(of_anyfork))
            })
        });
        let forked = outcome(parent, |ground| {
            let mut command = (case.ours)(ground, &|program| Command::new(program));
            command.init(nothing::NAME, anyfork::args![]);
            [(), ()].map(|()| {
                let output = bounded(case.name, || command.output().blocking());
                run(output.map_err(of_anyfork))
            })
        });
        let ways = [blocking, awaited, execed, forked].into_iter();
        for (ours, way) in ways.zip(["blocking", "awaited", "execed", "forked"]) {
            if ours != expected {
                differences += &format!("{}, {way}:\n", case.name);
                differences += &difference(&ours, &expected);
            }
        }
    }
    assert!(differences.is_empty(), "not as std's:\n{differences}");
}

/// The first lines that differ.
pub fn difference<T: std::fmt::Debug>(ours: &T, expected: &T) -> String {
    let (ours, expected) = (format!("{ours:#?}"), format!("{expected:#?}"));
    let lines = ours.lines().zip(expected.lines());
    let differ = lines.filter(|(ours, expected)| ours != expected).take(3);
    differ
        .map(|(ours, expected)| format!("  ours:  {ours:.200}\n  std's: {expected:.200}\n"))
        .collect()
}

fn outcome(parent: &str, work: impl FnOnce(&mut Ground) -> [Run; 2]) -> Outcome {
    let mut ground = Ground::new(parent);
    let runs = work(&mut ground);
    let contents = ground.contents();
    Outcome { runs, contents }
}

/// std leaves to its children what whoever started this program has left open
/// for it: from here on it does not.
pub fn close_on_exec_all() {
    for number in descriptors(std::process::id())
        .into_keys()
        .filter(|it| *it > 2)
    {
        // SAFETY: sets a flag of a descriptor.
        let set = unsafe { libc::fcntl(number.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
        assert_eq!(set, 0, "{number}");
    }
}
