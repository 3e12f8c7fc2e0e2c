//! A program that leaves behind what it was started with, and whose templates must
//! not keep it. What it does, its first argument says, and with which template, the
//! second.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::Duration;

use anyfork::{Command, Process, Stdio};
use anyfork_tests::births::serving;
use anyfork_tests::spares::{until_idle, warm};
use anyfork_tests::{bounded, byte_of, descriptors, held, release, template_of};
use nix::unistd::{ForkResult, fork, setsid};

#[anyfork::early]
fn main() {
    let [what, template] = [1, 2].map(|n| env::args().nth(n).expect("an argument"));
    let process = match template.as_str() {
        "early" => Process::early(),
        "exec" => Process::new_exec(),
        "nested" => Process::early().map(|it| it.init("prepare", ())),
        "snapshot" => Process::snapshot(),
        _ => panic!("no such template"),
    };
    let process = process.expect("a template");
    match what.as_str() {
        "detaches" => detaches(process),
        "becomes-a-daemon" => becomes_a_daemon(process),
        "dies" => dies(process),
        "leads" => leads(process),
        "surroundings" => surroundings(process),
        _ => panic!("nothing of that name"),
    }
}

#[anyfork::init]
fn prepare() {}

/// Stays until it is killed.
#[anyfork::worker]
fn stay(mut socket: UnixStream) -> io::Result<()> {
    socket.write_all(b"!")?;
    drop(socket);
    loop {
        thread::park();
    }
}

/// Has nothing of this program's.
fn detached(process: Process) -> Process {
    let process = process.stdin(Stdio::null()).stdout(Stdio::null());
    process.stderr(Stdio::null()).current_dir("/")
}

/// Leaves a worker and a program behind, which outlive it, and says who they are.
fn detaches(process: Process) {
    let mut worker = detached(process.fork())
        .run("stay")
        .blocking()
        .expect("a worker");
    assert_eq!(byte_of(&mut worker.socket), b'!');
    let mut command = process.fork().exec("sleep");
    command.arg("600").current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let sleeper = command.spawn().blocking().expect("a program");
    println!("{} {}", worker.pid(), sleeper.pid());
}

/// Says who it is from then on, and stays until it is killed. Writes what it finds to
/// a file, then.
fn becomes_a_daemon(process: Process) {
    release(held(process.fork()));
    for _ in 0..2 {
        // SAFETY: this process has one thread.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Child => drop(setsid()),
            ForkResult::Parent { .. } => process::exit(0),
        }
    }
    println!("{}", process::id());
    env::set_current_dir("/").expect("a directory");
    let null = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null");
    let null = null.expect("a file");
    for number in 0..3 {
        // SAFETY: standard streams are known by their numbers.
        assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), number) }, number);
    }
    drop(null);
    let worker = held(process.fork());
    let all_are_null = [worker.pid(), template_of(&worker)].iter().all(|pid| {
        let open = descriptors(*pid);
        (0..3).all(|number| open[&number] == "/dev/null") && directory(*pid) == Path::new("/")
    });
    release(worker);
    let path = env::args().nth(3).expect("a path");
    fs::write(path, all_are_null.to_string()).expect("a file");
    loop {
        thread::park();
    }
}

/// The directory that a process works in.
fn directory(pid: u32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/cwd")).expect("a process")
}

#[anyfork::init]
fn die_with_parent() {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Goes on until its parent is another one.
#[anyfork::worker]
fn watch_parent(mut socket: UnixStream) -> io::Result<()> {
    let parent = parent_id();
    socket.write_all(b"!")?;
    while parent_id() == parent {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Says which processes are to end with it, and waits for its own end.
fn dies(process: Process) {
    let mut sleeper = process.fork().init("die_with_parent", ()).exec("sleep");
    sleeper.arg("600").stdout(Stdio::null());
    let sleeper = sleeper.spawn().blocking().expect("a program");
    let dying = process
        .fork()
        .init("die_with_parent", ())
        .stdout(Stdio::null());
    let mut watching = process
        .fork()
        .stdout(Stdio::null())
        .run("watch_parent")
        .blocking();
    let mut dying = dying.run("stay").blocking().expect("a worker");
    let watching = watching.as_mut().expect("a worker");
    assert_eq!(byte_of(&mut dying.socket), b'!');
    assert_eq!(byte_of(&mut watching.socket), b'!');
    println!("{} {} {}", sleeper.pid(), dying.pid(), watching.pid());
    let _ = io::stdin().read(&mut [0]);
}

/// Starts a program that leads a group and is to end with it, and waits for its own end.
fn leads(process: Process) {
    let mut command = process.kill_on_drop(true).process_group(0).exec("sh");
    command.args(["-c", "sleep 600 & echo; echo ready >&2; wait"]);
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .blocking()
        .expect("a program");
    let stderr = child.stderr.as_mut().expect("a pipe");
    assert_eq!(byte_of(stderr), b'r');
    print!("!");
    io::stdout().flush().expect("a reader");
    let _ = io::stdin().read(&mut [0]);
}

/// Changes its streams and directory, and looks at those of its workers and
/// templates.
fn surroundings(process: Process) {
    let folder = env::args().nth(3).expect("a folder");
    let folder = Path::new(&folder).canonicalize().expect("a folder");
    let (warm, warm_pid) = warm(process.fork(), 2);
    let template = serving(&process);
    let own = process.fork().current_dir("/usr").stdout(Stdio::null());
    let mut kept: Vec<OwnedFd> = Vec::new();
    for turn in 0..3 {
        let below = folder.join(format!("below-{turn}"));
        fs::create_dir(&below).expect("a folder");
        env::set_current_dir(&below).expect("a directory");
        for number in 0..3 {
            let file = fs::File::create(below.join(number.to_string())).expect("a file");
            // SAFETY: standard streams are known by their numbers.
            assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), number) }, number);
            kept.push(file.into());
        }
        let mine = descriptors(process::id());
        for process in [process.fork(), process.fork().fork(), warm.fork()] {
            let worker = held(process);
            let open = descriptors(worker.pid());
            for number in 0..3 {
                assert_eq!(open[&number], mine[&number]);
            }
            assert_eq!(directory(worker.pid()), below);
            release(worker);
        }
        // What a template was given stays its own.
        let worker = held(own.fork());
        let open = descriptors(worker.pid());
        assert_eq!([&open[&0], &open[&2]], [&mine[&0], &mine[&2]]);
        assert_eq!(open[&1], "/dev/null");
        assert_eq!(directory(worker.pid()), Path::new("/usr"));
        release(worker);

        let output = Command::new("pwd").output();
        let output = bounded("a command", || output.blocking()).expect("a program");
        assert_eq!(output.stdout, format!("{}\n", below.display()).into_bytes());

        let mut hold_nothing = vec![template, warm_pid];
        hold_nothing.extend(until_idle(warm_pid, 2));
        for pid in hold_nothing {
            let open = descriptors(pid);
            for number in 0..3 {
                assert_eq!(open[&number], "/dev/null");
            }
            assert!(
                !open
                    .values()
                    .any(|link| Path::new(link).starts_with(&folder)),
                "{open:?}"
            );
            assert_eq!(directory(pid), Path::new("/"));
        }
    }
}
