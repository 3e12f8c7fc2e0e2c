//! What a shell or a supervisor has left open for a program is the program's
//! alone, unless it says `keep_fds`. What its code opens in a template, its
//! workers have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, id};
use std::sync::OnceLock;

use anyfork::{Arg, Args, Process, args, blocking};
use anyfork_tests::births::{Folder, succeed};
use anyfork_tests::{
    alone, bounded, descriptors, early_template, flags, held, pipe_with, release, template_of,
};

/// Runs a program with 3 open for reading, 4 for writing and 9 for both; gives
/// what it has written to 4 and 9.
fn from_a_shell(program: &str, name: &str) -> (String, String) {
    let folder = Folder::new(env!("CARGO_TARGET_TMPDIR"), name);
    fs::write(folder.join("read"), "abcdefgh").unwrap();
    let mut shell = Command::new("sh");
    let script = r#"exec 3<"$1/read" 4>"$1/write" 9<>"$1/both"; exec "$0" "$1""#;
    shell.args(["-c", script, program]).arg(&*folder);
    // SAFETY: calls what may be called between fork and exec.
    unsafe { shell.pre_exec(leave_nothing_open) };
    succeed(&mut shell);
    let [write, both] = ["write", "both"].map(|file| fs::read_to_string(folder.join(file)));
    (write.unwrap(), both.unwrap())
}

/// What this test was started with itself is not for the shell.
fn leave_nothing_open() -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: marks descriptors that nobody uses after exec.
    match unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[test]
fn they_are_the_programs_alone() {
    let (write, _) = from_a_shell(env!("CARGO_BIN_EXE_inherits"), "inherits");
    assert_eq!(write, "abcdefgh");
}

#[test]
fn workers_have_those_that_are_kept() {
    let (write, both) = from_a_shell(env!("CARGO_BIN_EXE_keep_fds"), "keep_fds");
    assert_eq!((&*write, &*both), ("abcdefgh", "abcdefgh"));
}

static LOG: OnceLock<File> = OnceLock::new();
static PAIR: OnceLock<[UnixStream; 2]> = OnceLock::new();
static OPENED_LATER: OnceLock<File> = OnceLock::new();

/// A file of this process's and its children's.
fn new_file(name: &str) -> File {
    let path = format!("{}/{name}-{}", env!("CARGO_TARGET_TMPDIR"), id());
    let mut options = OpenOptions::new();
    let file = options.create_new(true).read(true).append(true).open(&path);
    fs::remove_file(path).unwrap();
    file.unwrap()
}

#[anyfork::early]
fn preload() {
    LOG.set(new_file("log")).unwrap();
    PAIR.set(UnixStream::pair().unwrap().into()).unwrap();
}

#[anyfork::init]
fn open_later() {
    OPENED_LATER.set(new_file("later")).unwrap();
}

/// What this process has opened in its template, by number.
fn opened() -> Vec<i32> {
    let pair = PAIR.get().into_iter().flatten().map(AsRawFd::as_raw_fd);
    let files = [LOG.get(), OPENED_LATER.get()].into_iter().flatten();
    pair.chain(files.map(AsRawFd::as_raw_fd)).collect()
}

/// Receives and opens much, and only then appends to the file that was opened
/// last; tells what numbers the template's descriptors have.
#[anyfork::worker]
fn append(mut socket: UnixStream, text: String, sent: Args) -> io::Result<()> {
    let opened = opened();
    let mut taken: BTreeSet<i32> = BTreeSet::from([0, 1, 2, socket.as_raw_fd()]);
    taken.extend(sent.iter().filter_map(|arg| match arg {
        Arg::Fd(fd) => Some(fd.as_raw_fd()),
        Arg::Bytes(_) => None,
    }));
    let files = (0..10).map(|_| File::open("/dev/null"));
    let files = files.collect::<io::Result<Vec<_>>>()?;
    taken.extend(files.iter().map(AsRawFd::as_raw_fd));
    assert_eq!(taken.len(), 4 + 30 + 10);
    assert!(
        opened.iter().all(|fd| !taken.contains(fd)),
        "{opened:?} {taken:?}"
    );
    drop((sent, files));
    let mut file = OPENED_LATER.get().or(LOG.get()).expect("it was opened");
    file.write_all(text.as_bytes())?;
    write!(socket, "{opened:?}")
}

#[anyfork::worker]
fn read_all(mut socket: UnixStream) -> io::Result<()> {
    let mut file = OPENED_LATER.get().or(LOG.get()).expect("it was opened");
    file.rewind()?;
    io::copy(&mut file, &mut socket).map(drop)
}

/// Sends through the preload's socket pair, or receives.
#[anyfork::worker]
fn talk(mut socket: UnixStream, end: usize, text: String) -> io::Result<()> {
    let [mut one, mut other] = PAIR.get().expect("it was opened").each_ref();
    match end {
        0 => one.write_all(text.as_bytes()),
        _ => {
            let mut buffer = vec![0; text.len()];
            other.read_exact(&mut buffer)?;
            socket.write_all(&buffer)
        }
    }
}

/// What a worker has answered; it has succeeded.
fn answer(launch: anyfork::Launch<anyfork::Worker>) -> String {
    let mut worker = bounded("a launch", || launch.blocking()).unwrap();
    let text = bounded("an answer", || io::read_to_string(&mut worker.socket));
    let exit = bounded("an end", || worker.wait()).unwrap();
    assert!(exit.success(), "{exit} {:?}", exit.failure());
    text.unwrap()
}

/// Has workers append to the file that was opened last, which all of them and
/// their template have; gives what it is.
fn assert_shared(process: impl Fn() -> Process) -> String {
    let mut expected = answer(process().run("read_all"));
    let mut reported = BTreeSet::new();
    for text in ["one,", "two,", "three,"] {
        let sent = (0..30).map(|_| pipe_with(""));
        let process_with = process().send_arg(text).send_fds(sent);
        reported.insert(answer(process_with.run("append")));
        expected.push_str(text);
        assert_eq!(answer(process().run("read_all")), expected);
    }
    // The same numbers in all of them.
    assert_eq!(reported.len(), 1, "{reported:?}");
    let numbers = reported
        .first()
        .unwrap()
        .trim_matches(['[', ']'])
        .split(", ");
    let numbers: Vec<i32> = numbers.map(|number| number.parse().unwrap()).collect();

    let worker = held(process());
    let template = descriptors(template_of(&worker));
    let opened: BTreeMap<i32, String> = numbers
        .iter()
        .map(|it| (*it, template[it].clone()))
        .collect();
    assert_has_no_more(&worker, &opened);
    release(worker);
    let mut files = numbers
        .iter()
        .filter_map(|it| opened[it].strip_suffix(" (deleted)"));
    files.next_back().expect("a file").to_owned()
}

/// The descriptors of a worker are the standard streams, what its template has
/// opened, a socket, and at most its own status pipe.
fn assert_has_no_more(worker: &blocking::Worker, opened: &BTreeMap<i32, String>) {
    let mut open = descriptors(worker.pid()).split_off(&3);
    for (number, link) in opened {
        assert_eq!(open.remove(number).as_ref(), Some(link));
    }
    let status: BTreeSet<String> = descriptors(id()).into_values().collect();
    open.retain(|&number, link| {
        let writes = flags(worker.pid(), number) & libc::O_ACCMODE == libc::O_WRONLY;
        !(writes && link.starts_with("pipe:") && status.contains(link))
    });
    let left: Vec<_> = open.into_values().collect();
    assert!(
        left.len() == 1 && left[0].starts_with("socket:"),
        "{left:?}"
    );
}

#[test]
fn workers_have_what_a_preload_has_opened() {
    let _alone = alone();
    let early = assert_shared(|| Process::early().unwrap());
    assert!(
        early.ends_with(&format!("/log-{}", early_template())),
        "{early}"
    );
    let nested = Process::early().unwrap().env("NESTED", "1");
    assert_eq!(assert_shared(|| nested.fork()), early);
    let deeper = nested.fork().env("NESTED", "2");
    assert_eq!(assert_shared(|| deeper.fork()), early);
    // The preload has run there, too.
    let exec = Process::new_exec().unwrap();
    assert_ne!(assert_shared(|| exec.fork()), early);
    assert!(LOG.get().is_none(), "but not here");
}

#[test]
fn workers_have_what_an_init_has_opened() {
    let _alone = alone();
    let prepared = Process::early().unwrap().init("open_later", args![]);
    let file = assert_shared(|| prepared.fork());
    assert!(
        file.ends_with(&format!("/later-{}", prepared.pid().unwrap())),
        "{file}"
    );
    let nested = prepared.fork().env("NESTED", "1");
    assert_eq!(assert_shared(|| nested.fork()), file);
    let exec = Process::new_exec().unwrap().init("open_later", args![]);
    assert_ne!(assert_shared(|| exec.fork()), file);
    // One that a worker has opened for itself only.
    let own = || Process::early().unwrap().init("open_later", args![]);
    assert_eq!(answer(own().run("read_all")), "");
}

#[test]
fn a_socket_that_a_preload_has_opened_works() {
    let _alone = alone();
    let talk = |end: usize| {
        let process = Process::early().unwrap().send_arg(end);
        answer(process.send_arg("a text").run("talk"))
    };
    for _ in 0..3 {
        assert_eq!(talk(0), "");
        assert_eq!(talk(1), "a text");
    }
}
