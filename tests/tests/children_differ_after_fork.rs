//! What is to be different in every child, such as the state of a random number
//! generator, is renewed in every child before anything else.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::id;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;

use anyfork::{ErrorKind, Process};
use anyfork_tests::births::{program, succeed};
use anyfork_tests::{Scene, alone, bounded, held, release, text_of};
use rand::RngExt;

#[anyfork::early]
fn preload() {
    LOG.lock().unwrap().push(format!("preload {}", id()));
}

/// What ran, in this process and in those that it was forked from.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

mod a {
    #[anyfork::after_fork]
    pub(super) fn zebra() {
        super::log("a::zebra");
    }

    pub(super) mod deep {
        #[anyfork::after_fork]
        fn inner() {
            super::super::log("a::deep::inner");
        }
    }
}

#[anyfork::after_fork]
fn last() {
    log("last");
}

#[anyfork::after_fork]
fn first() {
    log("first");
}

fn log(text: &str) {
    LOG.lock().unwrap().push(format!("{text} {}", id()));
}

#[anyfork::init]
fn init() {
    log("init");
}

#[anyfork::worker]
fn tell(mut socket: UnixStream) -> io::Result<()> {
    write!(socket, "{} {}", LOG.lock().unwrap().join(";"), id())
}

fn reported(process: Process, worker: &str) -> String {
    text_of(process.run(worker))
}

const HOOKS: [&str; 4] = ["a::deep::inner", "a::zebra", "first", "last"];

#[test]
fn hooks_run_in_every_child_in_the_order_of_their_paths() {
    let _alone = alone();
    let template = Process::new().unwrap().init("init", ());
    let deeper = template.fork().init("init", ());
    for _ in 0..3 {
        let text = reported(deeper.fork().init("init", ()), "tell");
        let (log, worker) = text.rsplit_once(' ').unwrap();
        let log: Vec<_> = log
            .split(';')
            .map(|it| it.rsplit_once(' ').unwrap())
            .collect();
        let (preload, children) = log.split_first().unwrap();
        assert_eq!(preload.0, "preload");
        // The template, the deeper one, and the worker.
        assert_eq!(children.len(), 3 * 5, "{children:?}");
        let mut pids = vec![preload.1];
        for child in children.chunks(5) {
            let (ran, pid): (Vec<_>, Vec<_>) = child.iter().copied().unzip();
            assert_eq!(ran, [&HOOKS[..], &["init"]].concat());
            assert_eq!(pid, [pid[0]; 5]);
            assert!(!pids.contains(&pid[0]));
            pids.push(pid[0]);
        }
        assert_eq!(pids.last(), Some(&worker));
    }
    // Functions as any other, too.
    a::zebra();
    assert!(
        LOG.lock()
            .unwrap()
            .iter()
            .any(|it| it.starts_with("a::zebra"))
    );
}

static BROKEN: AtomicBool = AtomicBool::new(false);

#[anyfork::after_fork]
fn may_break() {
    assert!(!BROKEN.load(Ordering::Relaxed), "a test's panic");
}

#[anyfork::init]
fn break_children() {
    BROKEN.store(true, Ordering::Relaxed);
}

#[test]
fn a_hook_that_panics_is_an_error_of_the_launch() {
    let _alone = alone();
    let scene = Scene::early();
    let template = Process::new().unwrap().init("break_children", ());
    for _ in 0..3 {
        let launch = template.fork().run("hold");
        let error = bounded("a launch", || launch.blocking()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        assert_eq!(error.exit().unwrap().code(), Some(101));
    }
    let nested = template.fork().send_arg("x");
    let launch = nested.fork().run("hold");
    assert!(bounded("a launch", || launch.blocking()).is_err());
    drop((template, nested));
    scene.must_return();
    release(held(Process::new().unwrap()));
}

/// As the documentation shows.
#[anyfork::after_fork]
fn reseed() {
    rand::rng().reseed().expect("the system's random numbers");
    SEED.store(rand::rng().random(), Ordering::Relaxed);
}

/// Hashes by keys that the hook renews, as those of std cannot be.
#[derive(Clone, Default)]
struct Renewed;

static SEED: AtomicU64 = AtomicU64::new(0);

impl BuildHasher for Renewed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(SEED.load(Ordering::Relaxed));
        hasher
    }
}

static USED: OnceLock<u64> = OnceLock::new();

/// Preloads something that has used all of them.
#[anyfork::init]
fn use_random_numbers() {
    let map: HashMap<u32, u64> = (0..100).map(|n| (n, rand::rng().random())).collect();
    let renewed: HashMap<u32, u32, Renewed> = (0..100).map(|n| (n, n)).collect();
    assert_eq!(renewed.len(), map.len());
    USED.set(map.values().fold(0, |a, b| a ^ b)).unwrap();
}

/// Tells a number of each kind.
#[anyfork::worker]
fn numbers(mut socket: UnixStream) -> io::Result<()> {
    let in_a_thread = thread::spawn(|| RandomState::new().hash_one(0))
        .join()
        .unwrap();
    for (kind, number) in [
        ("rand", rand::rng().random()),
        ("renewed", Renewed.hash_one(0)),
        ("thread", in_a_thread),
        ("main", RandomState::new().hash_one(0)),
        ("used", USED.get().copied().unwrap_or_default()),
    ] {
        writeln!(socket, "{kind} {number}")?;
    }
    Ok(())
}

/// How many different numbers of each kind so many workers had.
fn different(template: &Process, workers: usize) -> HashMap<String, usize> {
    let mut seen: HashMap<String, BTreeSet<String>> = HashMap::new();
    for _ in 0..workers {
        for line in reported(template.fork(), "numbers").lines() {
            let (kind, number) = line.split_once(' ').unwrap();
            seen.entry(kind.into()).or_default().insert(number.into());
        }
    }
    seen.into_iter()
        .map(|(kind, seen)| (kind, seen.len()))
        .collect()
}

#[test]
fn random_numbers_differ_though_they_were_used_in_the_template() {
    let _alone = alone();
    let template = Process::new().unwrap().init("use_random_numbers", ());
    let different = different(&template, 10);
    for kind in ["rand", "renewed", "thread"] {
        assert_eq!(different[kind], 10, "{kind}");
    }
    // It is one template's.
    assert_eq!(different["used"], 1);
    // And std's keys of a thread that has used them stay as they are: nothing is
    // promised, nor asserted, of them.
}

#[test]
fn hash_keys_differ_where_the_template_has_used_none() {
    let _alone = alone();
    for template in [
        Process::new().unwrap(),
        Process::new().unwrap().init("init", ()),
        Process::new_exec().unwrap(),
    ] {
        assert_eq!(different(&template.init("init", ()), 10)["main"], 10);
    }
}

#[test]
fn without_hooks_hash_keys_differ_too() {
    let _alone = alone();
    succeed(&mut program(env!("CARGO_BIN_EXE_plain"), "hash-keys"));
}
