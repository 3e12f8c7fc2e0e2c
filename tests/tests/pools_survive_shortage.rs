//! Without descriptors, a call waits for a worker that lives; without one it fails, and was
//! never entered. A pool heals when descriptors are there again.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::time::Duration;

use anyfork::{ErrorKind, Pool, Process};
use anyfork_tests::{bounded, has_ended, until};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[anyfork::early]
fn preload() {}

#[anyfork::call]
fn whoami() -> u32 {
    std::process::id()
}

#[anyfork::call]
fn tell_and_stay(mut told: PipeWriter, mut gate: PipeReader) -> u32 {
    told.write_all(b"!").expect("a pipe");
    gate.read_to_end(&mut Vec::new()).expect("a pipe");
    std::process::id()
}

/// As long as it lives, this process gets no further descriptor.
struct Full {
    soft: u64,
    hard: u64,
}

impl Full {
    fn now() -> Full {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let used = std::fs::read_dir("/proc/self/fd").unwrap();
        let numbers = used.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<u64>().ok());
        // What is open stays open, and is still waited for (poll(2)).
        let highest = numbers.max().unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, highest + 1, hard).unwrap();
        let full = Full { soft, hard };
        full.fill();
        full
    }

    /// Takes the numbers that are free below.
    fn fill(&self) {
        while let Ok(file) = std::fs::File::open("/dev/null") {
            std::mem::forget(file);
        }
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard).unwrap();
    }
}

#[test]
fn calls_wait_for_a_worker_or_fail() {
    let builder = || Pool::builder(Process::new().unwrap()).max(2);
    let pool = builder().build().unwrap();
    let first = bounded("a call", || whoami::call(&pool).blocking()).unwrap();
    let other = builder().build().unwrap();
    let [(mut told, tell), (reader, writer)] = [(); 2].map(|()| std::io::pipe().unwrap());
    let running = tell_and_stay::call(&pool, tell, reader);
    bounded("its begin", || told.read_exact(&mut [0])).unwrap();

    let full = Full::now();
    // It waits for the one that lives.
    let waits = whoami::call(&pool);
    until("starts were tried", || pool.stats().start_failures > 0);
    assert!(!waits.is_finished());
    // There is nothing to wait for.
    let error = bounded("a call", || whoami::call(&other).blocking()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
    assert!(matches!(
        error.kind(),
        ErrorKind::Io | ErrorKind::ForkFailed
    ));
    assert!(error.never_entered());
    drop(writer);
    full.fill();
    assert_eq!(bounded("a call", || running.blocking()).unwrap(), first);
    assert_eq!(bounded("a call", || waits.blocking()).unwrap(), first);
    for pool in [&pool, &other] {
        let it = pool.stats();
        let ends = it.returned + it.refused + it.queued + it.busy;
        assert_eq!(it.calls, ends, "{it:?}");
    }
    drop(full);

    until("it heals", || match whoami::call(&other).blocking() {
        Ok(pid) => !has_ended(pid),
        Err(error) => {
            assert!(error.never_entered(), "{error}");
            false
        }
    });
    for pool in [pool, other] {
        bounded("a shutdown", || pool.shutdown(Duration::ZERO).blocking()).unwrap();
    }
}
