//! Init functions run in the order in which they were given, in the process that
//! later runs the worker or is forked from, once; what they load is shared by
//! all that are forked from it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::id;
use std::sync::{Mutex, OnceLock};
use std::thread;

use anyfork::{Arg, Args, Error, ErrorKind, Process, args, take_args};
use anyfork_tests::births::serving;
use anyfork_tests::{
    Scene, alone, bounded, held, pipe_with, release, set_soft_limit, template_of, text_of,
};

#[anyfork::early]
fn preload() {
    LOG.lock().unwrap().push(format!("preload {}", id()));
}

/// What ran in this process and in those that it was forked from.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[anyfork::init]
fn note(text: String, more: Option<u32>) {
    let more = more.map(|more| format!("+{more}")).unwrap_or_default();
    LOG.lock().unwrap().push(format!("{text}{more} {}", id()));
}

/// Takes what was collected, and notes it.
#[anyfork::init]
fn take() {
    let text: Vec<String> = take_args()
        .map(|arg| match arg {
            Arg::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            Arg::Fd(fd) => io::read_to_string(File::from(fd)).unwrap(),
        })
        .collect();
    note(format!("({})", text.join(",")), None);
}

#[anyfork::init]
fn take_one(from: File, name: String, rest: Args) -> io::Result<()> {
    note(
        format!("{name}{}={}", rest.len(), io::read_to_string(from)?),
        None,
    );
    Ok(())
}

/// Tells the log, its pid, and how many arguments were left for it.
#[anyfork::worker]
fn tell(mut socket: UnixStream, rest: Args) -> io::Result<()> {
    let log = LOG.lock().unwrap().join(";");
    write!(socket, "{log}|{}|{}", id(), rest.len())
}

/// What a worker told: entries of the log with their pids; its own; the
/// arguments.
fn reported(process: Process) -> (Vec<(String, u32)>, u32, usize) {
    let text = text_of(process.run("tell"));
    let [log, own, rest] = text.split('|').collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    let entry = |entry: &str| {
        let (text, pid) = entry.rsplit_once(' ').unwrap();
        (text.to_owned(), pid.parse().unwrap())
    };
    let log = log.split(';').map(entry).collect();
    (log, own.parse().unwrap(), rest.parse().unwrap())
}

fn texts(log: &[(String, u32)]) -> Vec<&str> {
    log.iter().map(|(text, _)| &text[..]).collect()
}

#[test]
fn they_run_in_the_order_given() {
    let _alone = alone();
    let process = Process::new()
        .unwrap()
        .init("note", args!["first"])
        .init(note::NAME, args!["second", 2]);
    let process = note::init(process, "third".to_owned(), None);
    let (log, worker, _) = reported(process);
    assert_eq!(texts(&log), ["preload", "first", "second+2", "third"]);
    assert!(log[1..].iter().all(|(_, pid)| *pid == worker), "{log:?}");
}

#[test]
fn they_run_once_in_the_process_that_is_forked_from() {
    let _alone = alone();
    let scene = Scene::early();
    let template = Process::new().unwrap().init("note", args!["t"]);
    let deeper = template.fork().init("note", args!["d"]);
    let (template_pid, deeper_pid) = (serving(&template), serving(&deeper));
    for _ in 0..3 {
        let (log, worker, _) = reported(deeper.fork().init("note", args!["w"]));
        let ran = [
            ("preload", scene.template()),
            ("t", template_pid),
            ("d", deeper_pid),
            ("w", worker),
        ];
        let ran = ran.map(|(text, pid)| (text.to_owned(), pid));
        assert_eq!(log, ran);
    }
    // What is given to a process that exists already makes a further one.
    let (log, ..) = reported(template.init("note", args!["later"]).fork());
    assert_eq!(texts(&log), ["preload", "t", "later"]);
    drop(deeper);
    scene.must_return();
}

#[test]
fn they_take_what_was_collected_before_them() {
    let _alone = alone();
    let template = Process::new()
        .unwrap()
        .send_args(["a", "b"])
        .init("take", ());
    let process = template
        .fork()
        .send_arg("c")
        .send_fd(pipe_with("in a pipe"))
        .init("take", ())
        .init("take", ())
        .init("take_one", args![pipe_with("own"), "x", 1, 2])
        .send_args(["d", "e"]);
    let (log, _, rest) = reported(process);
    let wanted = ["preload", "(a,b)", "(c,in a pipe)", "()", "x2=own"];
    assert_eq!(texts(&log), wanted);
    assert_eq!(rest, 2);
    // What nobody takes is the worker's.
    let process = template.fork().send_arg("c").init("note", args!["n"]);
    assert_eq!(reported(process.send_arg("d")).2, 2);
}

static MODEL: OnceLock<Vec<u8>> = OnceLock::new();

#[anyfork::init]
fn load(size: usize) {
    MODEL.set(vec![7; size]).expect("loaded once");
}

/// Reads all pages, and stays.
#[anyfork::worker]
fn use_model(mut socket: UnixStream) -> io::Result<()> {
    let model = MODEL.get().expect("it was loaded");
    assert!(model.iter().step_by(1024).all(|byte| *byte == 7));
    socket.write_all(b"!")?;
    io::copy(&mut socket, &mut io::sink())?;
    Ok(())
}

/// In KiB: memory that several processes share counts for each in part.
fn proportional_size(pid: u32) -> usize {
    let sizes = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let size = sizes.lines().find_map(|line| line.strip_prefix("Pss:"));
    size.unwrap().trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn fifty_workers_share_what_was_loaded_once() {
    let _alone = alone();
    const SIZE: usize = 200 << 20;
    let template = Process::new().unwrap().init("load", args![SIZE]);
    let workers: Vec<_> = (0..50)
        .map(|_| {
            let mut worker = use_model::run(template.fork()).blocking().unwrap();
            worker.socket.read_exact(&mut [0]).unwrap();
            worker
        })
        .collect();
    let pids = workers.iter().map(|worker| worker.pid());
    let pids = pids.chain([template_of(&workers[0])]);
    let all: usize = pids.map(proportional_size).sum();
    assert!((SIZE / 1024..SIZE / 1024 * 3 / 2).contains(&all), "{all}");
    workers.into_iter().for_each(release);
}

/// A thread that was joined is seen in the kernel for a moment longer.
#[anyfork::init]
fn use_threads() {
    for _ in 0..20 {
        thread::scope(|scope| {
            (0..4).for_each(|_| drop(scope.spawn(|| ())));
        });
    }
}

#[anyfork::init]
fn leave_a_thread() {
    let named = thread::Builder::new().name("left behind".to_owned());
    named.spawn(thread::park).unwrap();
}

#[test]
fn threads_of_theirs_may_not_outlive_them_in_a_template() {
    let _alone = alone();
    for _ in 0..50 {
        let template = Process::new().unwrap().init("use_threads", ());
        template.prepare().blocking().unwrap();
    }
    let template = Process::new().unwrap().init("leave_a_thread", ());
    let error = error_of(template.fork());
    assert_eq!(error.kind(), ErrorKind::InitFailed, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("left 1 thread running: `left behind`"),
        "{text}"
    );
    // A worker may have as many as it wants.
    reported(Process::new().unwrap().init("leave_a_thread", ()));
}

#[anyfork::init]
fn note_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes into a local.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    note(format!("{}", limit.rlim_cur), None);
}

/// A template raises its own limit, for what it has of its children.
#[test]
fn they_find_the_callers_limit_of_descriptors() {
    let _alone = alone();
    let before = set_soft_limit(id(), libc::RLIMIT_NOFILE, 500).unwrap();
    let exec = Process::new_exec().unwrap();
    set_soft_limit(id(), libc::RLIMIT_NOFILE, before).unwrap();
    let template = exec.init("note_limit", ());
    let deeper = template.fork().init("note_limit", ());
    let (log, ..) = reported(deeper.fork().init("note_limit", ()));
    assert_eq!(texts(&log), ["preload", "500", "500", "500"]);
}

fn error_of(process: Process) -> Error {
    bounded("a launch", || process.run("tell").blocking()).unwrap_err()
}

#[test]
fn a_call_that_cannot_be_made_has_its_kind() {
    let _alone = alone();
    let new = || Process::new().unwrap();
    for (process, kind, text) in [
        (
            new().init("no_such_init", ()),
            ErrorKind::UnknownWorker,
            "no init function `no_such_init`",
        ),
        (new().init("tell", ()), ErrorKind::UnknownWorker, "`tell`"),
        (
            new().init("note", args!["a", "b"]),
            ErrorKind::BadArgument,
            "parameter `more`",
        ),
        (
            new().init("note", args!["a", 1, 2]),
            ErrorKind::BadArgument,
            "takes 2 arguments and got 3",
        ),
        (
            new().init("load", ()),
            ErrorKind::BadArgument,
            "none for `size` (usize)",
        ),
    ] {
        let template = process.init("note", args!["not reached"]);
        for error in [error_of(template.fork()), error_of(template)] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }
    release(held(new()));
}
