//! Changes what its first argument says, when there is a template already, and
//! asserts that a command of anyfork's inherits what one of std's does.
//!
//! The second argument is an empty folder, the third the program `tell`.

mod attributes;

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;

use anyfork::{Command, Process};
use anyfork_tests::comparison::{close_on_exec_all, difference, lines};
use anyfork_tests::{bounded, until};

pub(crate) fn main() {
    let args: Vec<String> = env::args().collect();
    let [_, what, folder, tell] = &args[..] else {
        panic!("{args:?}");
    };
    close_on_exec_all();
    // From here on there is a template, which has none of the changes.
    let first = Command::new("true").status().blocking().expect("a status");
    assert!(first.success());
    let mut scene = Scene::new(Path::new(folder), tell);
    match what.as_str() {
        "environment" => environment(&mut scene),
        "path" => path(&mut scene),
        "directory" => directory(&mut scene),
        "removed-directory" => removed_directory(&mut scene),
        "streams" => scene.compare(&["--stdin", "--err=to stderr"]),
        "exchanged" => exchanged(&mut scene),
        "taken" => taken(&mut scene),
        "prepared" => prepared(&mut scene),
        "closed" => closed(&mut scene),
        other => attributes::change(other, &mut scene),
    }
}

fn environment(scene: &mut Scene) {
    scene.compare(&[]);
    // SAFETY: no other thread runs.
    unsafe {
        env::set_var("GIVEN", "changed");
        env::set_var("NEW", "");
        env::remove_var("HOME");
    }
    scene.compare(&[]);
    // SAFETY: as above; a C library may have its own ideas.
    unsafe { libc::setenv(c"OF_C".as_ptr(), c"a\nb=".as_ptr(), 1) };
    scene.compare(&[]);
    // SAFETY: as above.
    unsafe { libc::clearenv() };
    scene.compare(&[]);
}

fn path(scene: &mut Scene) {
    let folder = env::args().nth(2).expect("a folder");
    std::os::unix::fs::symlink(&scene.tell, format!("{folder}/only-here")).expect("a link");
    let mut command = Command::new("only-here");
    // What the test was started with may have folders in it that are closed to
    // its user.
    // SAFETY: no other thread runs.
    unsafe { env::set_var("PATH", "/usr/bin:/bin") };
    let error = command.spawn().blocking().expect_err("it is not in PATH");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    // SAFETY: no other thread runs.
    unsafe { env::set_var("PATH", &folder) };
    scene.tell = "only-here".to_owned();
    scene.compare(&[]);
    env::set_current_dir(&folder).expect("a folder");
    // SAFETY: as above.
    unsafe { env::set_var("PATH", ":/no/such/folder") };
    scene.compare(&[]);
}

fn directory(scene: &mut Scene) {
    scene.compare(&[]);
    env::set_current_dir("/").expect("a directory");
    scene.compare(&[]);
    let folder = env::args().nth(2).expect("a folder");
    env::set_current_dir(&folder).expect("a directory");
    scene.compare(&[]);
    fs::create_dir("below").expect("a folder");
    env::set_current_dir("below").expect("a directory");
    scene.compare(&[]);
    // It is where it is, whatever its name.
    fs::rename("../below", "../renamed").expect("a new name");
    scene.compare(&[]);
}

fn removed_directory(scene: &mut Scene) {
    let folder = env::args().nth(2).expect("a folder");
    env::set_current_dir(&folder).expect("a directory");
    fs::create_dir("gone").expect("a folder");
    env::set_current_dir("gone").expect("a directory");
    fs::remove_dir("../gone").expect("it is empty");
    scene.compare(&[]);
}

/// stdout becomes stderr, and the other way round.
fn exchanged(scene: &mut Scene) {
    for _ in 0..2 {
        let stdout = io::stdout().lock();
        let kept = File::from(
            std::os::fd::AsFd::as_fd(&stdout)
                .try_clone_to_owned()
                .expect("room"),
        );
        drop(stdout);
        redirect(&io::stderr(), 1);
        redirect(&kept, 2);
        scene.compare(&["--err=to stderr"]);
    }
}

/// A command takes this program's streams in exchange.
fn taken(scene: &mut Scene) {
    let args = ["--brief", "--err=to stderr"];
    let expected = scene.printed(|tell| {
        let mut command = std::process::Command::new(tell);
        command.args(args).stdout(io::stderr()).stderr(io::stdout());
        assert!(command.status().expect("a status").success());
    });
    let ours = scene.printed(|tell| {
        let mut command = Command::new(tell);
        command.args(args).stdout(io::stderr()).stderr(io::stdout());
        let status = bounded("status", || command.status().blocking());
        assert!(status.expect("a status").success());
    });
    assert_same(&ours, &expected, "exchanged");
    // With everything captured else, one is inherited.
    let mut command = Command::new("sh");
    command.args(["-c", "echo out; echo err >&2"]);
    command.stderr(anyfork::Stdio::inherit());
    let printed = scene.printed(|_| {
        let output = bounded("output", || command.output().blocking());
        let output = output.expect("its output");
        assert_eq!(
            (&*output.stdout, &*output.stderr),
            (&b"out\n"[..], &b""[..])
        );
    });
    assert_eq!(printed, [lines(b""), lines(b"err\n")]);
}

#[anyfork::init]
fn prepare() {
    env::set_current_dir("/usr").expect("a directory");
    // SAFETY: this process has one thread.
    unsafe {
        env::set_var("GIVEN", "prepared");
        env::remove_var("HOME");
    }
}

/// What a preparation has changed stays, whatever the caller changes after it;
/// the rest is the caller's.
fn prepared(scene: &mut Scene) {
    let folder = env::args().nth(2).expect("a folder");
    let other = File::create(format!("{folder}/other")).expect("a file");
    let template = Process::new().expect("a template");
    let template = template.init(prepare::NAME, ()).stderr(other);
    let template = template.prepare().blocking().expect("a template");
    // SAFETY: no other thread runs.
    unsafe {
        env::set_var("GIVEN", "by the caller");
        env::set_var("HOME", "changed");
        env::set_var("NEW", "new");
    }
    env::set_current_dir(&folder).expect("a folder");
    let run = |command: &mut Command| {
        let args = ["--stdin", "--err=to stderr"];
        let status = command.args(args).status();
        let status = bounded("status", || status.blocking());
        assert!(status.expect("a status").success());
    };
    let printed = scene.printed(|tell| run(&mut template.fork().exec(tell)));
    let has = |line: &str| printed[0].iter().any(|it| it == line);
    for line in [
        "directory /usr",
        "variable GIVEN=prepared",
        "variable NEW=new",
    ] {
        assert!(has(line), "no `{line}` in {printed:?}");
    }
    assert!(!printed[0].iter().any(|it| it.starts_with("variable HOME=")));
    // Its stdout is the caller's, and its stderr the preparation's.
    assert_eq!(printed[1], lines(b""));
    let other = fs::read(format!("{folder}/other")).expect("a file");
    assert_eq!(other, b"to stderr");
    // A relative path is relative to the caller's directory.
    fs::create_dir("below").expect("a folder");
    let printed = scene.printed(|tell| run(template.fork().exec(tell).current_dir("below")));
    let here = env::current_dir().expect("a directory");
    let line = format!("directory {}/below", here.display());
    assert!(printed[0].contains(&line), "no `{line}` in {printed:?}");
}

/// A stream that is closed leads nowhere; above all it is not the template's.
fn closed(scene: &mut Scene) {
    // SAFETY: nothing refers to the number but the standard input.
    assert_eq!(unsafe { libc::close(0) }, 0);
    // What the library holds for another program does not take the number.
    let other = Command::new("sleep").arg("60").kill_on_drop(true).spawn();
    let other = bounded("a launch", || other.blocking()).expect("a program");
    let [printed, _] = scene.printed(|tell| {
        let status = Command::new(tell).arg("--brief").status();
        let status = bounded("status", || status.blocking());
        assert!(status.expect("a status").success());
    });
    drop(other);
    let stdin = printed.iter().find(|line| line.starts_with("descriptor 0"));
    let stdin = stdin.expect("it is open");
    assert!(stdin.starts_with("descriptor 0 is /dev/null"), "{stdin}");
}

/// The files that the streams lead to from now on.
struct Scene {
    tell: String,
    stdin: File,
    printed: [File; 2],
    paths: [std::path::PathBuf; 2],
}

impl Scene {
    fn new(folder: &Path, tell: &str) -> Scene {
        let paths = ["out", "err"].map(|name| folder.join(name));
        let printed = [0, 1].map(|index: usize| {
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).open(&paths[index]);
            file.expect("a file")
        });
        fs::write(folder.join("in"), "what comes in").expect("a file");
        let stdin = File::open(folder.join("in")).expect("a file");
        redirect(&stdin, 0);
        redirect(&printed[0], 1);
        redirect(&printed[1], 2);
        Scene {
            tell: tell.to_owned(),
            stdin,
            printed,
            paths,
        }
    }

    /// What `work` adds to stdout and stderr.
    fn printed(&mut self, work: impl FnOnce(&str)) -> Printed {
        for file in &mut self.printed {
            file.flush().expect("room");
            file.set_len(0).expect("an empty file");
        }
        self.stdin.rewind().expect("a file");
        work(&self.tell);
        self.paths
            .each_ref()
            .map(|path| lines(&fs::read(path).expect("a file")))
    }

    /// Whether anyfork's commands inherit the same as std's.
    fn compare(&mut self, args: &[&str]) {
        let expected = self.printed(|tell| {
            let status = std::process::Command::new(tell).args(args).status();
            assert!(status.expect("a status").success());
        });
        assert!(!expected.concat().is_empty());
        let new = || Process::new().expect("a template");
        let run = |mut command: Command| {
            let status = bounded("status", || command.args(args).status().blocking());
            assert!(status.expect("a status").success());
        };
        let here = self.printed(|tell| run(Command::new(tell)));
        assert_same(&here, &expected, "here");
        let prepared = self.printed(|tell| run(new().exec(tell)));
        assert_same(&prepared, &expected, "from a process");
        let threaded = self.printed(|tell| {
            thread::scope(|scope| scope.spawn(|| run(Command::new(tell))).join())
                .expect("no panic");
        });
        assert_same(&threaded, &expected, "from a thread");
        let awaited = self.printed(|tell| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let status = Command::new(tell).args(args).status();
            let status = bounded("status", || runtime.block_on(async { status.await }));
            assert!(status.expect("a status").success());
        });
        assert_same(&awaited, &expected, "awaited");
        // The next change is made in a process with one thread.
        until("the threads are gone", || {
            anyfork_tests::status(std::process::id(), "Threads") == "1"
        });
    }
}

type Printed = [Vec<String>; 2];

fn assert_same(ours: &Printed, expected: &Printed, what: &str) {
    let difference = difference(ours, expected);
    assert!(ours == expected, "{what}, not as std's:\n{difference}");
}

/// Makes a standard stream a duplicate of another descriptor.
fn redirect(from: &impl AsRawFd, number: i32) {
    // SAFETY: a standard stream is referred to by its number.
    let result = unsafe { libc::dup2(from.as_raw_fd(), number) };
    assert_eq!(result, number);
}
