//! A call of a pool's with nothing to carry costs two system calls on each side, and no
//! memory but that of the encoded values.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::mem;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::thread;

use anyfork::{Pool, Process};
use anyfork_tests::{bounded, byte_of, new, runtime};

/// Number of calls that are looked at.
const CALLS: u64 = 100;

/// Counts the allocations of each thread, and changes of their size.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: it is the system's, which does what it promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[anyfork::call]
fn next(number: u64) -> u64 {
    number + 1
}

/// The number of allocations of the worker's thread so far.
#[anyfork::call]
fn allocations() -> u64 {
    COUNT.get()
}

/// A pool of one worker, which has served.
fn pool(process: Process) -> anyfork::Result<Pool> {
    let pool = Pool::builder(process).max(1).build()?;
    make(&pool, 10)?;
    Ok(pool)
}

fn make(pool: &Pool, calls: u64) -> anyfork::Result<()> {
    for number in 0..calls {
        assert_eq!(next::call(pool, number).blocking()?, number + 1);
    }
    Ok(())
}

/// One for the arguments and one for the result, on each side.
#[test]
fn in_memory() {
    let pool = bounded("calls", || pool(new())).unwrap();
    let of_worker = || bounded("a number", || allocations::call(&pool).blocking()).unwrap();
    of_worker();

    let before = of_worker();
    let mine = bounded("calls", || {
        let before = COUNT.get();
        make(&pool, CALLS).unwrap();
        COUNT.get() - before
    });
    // The number is asked for by a call, too.
    let of_worker = of_worker() - before;
    assert_eq!((mine, of_worker), (2 * CALLS, 2 * (CALLS + 1)));
}

#[test]
fn in_memory_of_tasks() {
    let pool = bounded("calls", || pool(new())).unwrap();
    let make = async || {
        for number in 0..CALLS {
            assert_eq!(next::call(&pool, number).await.unwrap(), number + 1);
        }
    };
    let tasks = async {
        make().await;
        let before = COUNT.get();
        make().await;
        COUNT.get() - before
    };
    let count = bounded("calls", || runtime().block_on(tasks));
    assert_eq!(count, 2 * CALLS);
}

/// Makes calls when it is told to, between two system calls that nothing else makes.
#[anyfork::worker]
fn calls(mut socket: UnixStream) -> io::Result<()> {
    let mark = || {
        // SAFETY: only returns a number.
        unsafe { libc::getppid() }
    };
    let pool = pool(Process::new()?)?;
    let pid = pool.workers()[0].pid();
    socket.write_all(&pid.to_ne_bytes())?;
    socket.read_exact(&mut [0])?;
    mark();
    make(&pool, CALLS)?;
    mark();
    socket.write_all(b".")
}

#[test]
fn in_system_calls() {
    let mut caller = bounded("a worker", || new().run(calls::NAME).blocking()).unwrap();
    let mut pid = [0; 4];
    bounded("calls", || caller.socket.read_exact(&mut pid)).unwrap();
    let (caller_pid, pid) = (caller.pid(), u32::from_ne_bytes(pid));
    let mut go = caller.socket.try_clone().unwrap();
    // The end of the thread ends the tracing.
    let tracer = thread::spawn(move || {
        if !(seize(caller_pid) && seize(pid)) {
            return None;
        }
        go.write_all(b".").unwrap();
        Some(system_calls(caller_pid, pid))
    });
    let Some(counts) = bounded("system calls", || tracer.join().unwrap()) else {
        eprintln!("skipped: this process may not trace");
        return;
    };
    byte_of(&mut caller.socket);
    let of = |pid, number| counts.get(&(pid, number)).copied().unwrap_or(0);
    for pid in [caller_pid, pid] {
        assert_eq!(of(pid, libc::SYS_sendto), CALLS, "{counts:?}");
    }
    assert_eq!(of(caller_pid, libc::SYS_recvmsg), CALLS, "{counts:?}");
    // The worker is at its first, which the tracer has interrupted, as the marks come.
    let received = of(pid, libc::SYS_recvmsg);
    assert!((CALLS - 1..=CALLS + 1).contains(&received), "{counts:?}");
    let sum: u64 = counts.values().sum();
    assert_eq!(sum, 3 * CALLS + received, "{counts:?}");
}

/// Begins to trace a process of this test's, which then runs up to each system call.
fn seize(pid: u32) -> bool {
    trace(libc::PTRACE_SEIZE, pid, libc::PTRACE_O_TRACESYSGOOD) == 0
        && trace(libc::PTRACE_INTERRUPT, pid, 0) == 0
}

fn trace(request: libc::c_uint, pid: u32, data: libc::c_int) -> libc::c_long {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: reads and writes no memory of this process.
    unsafe { libc::ptrace(request, pid as libc::pid_t, none, data as libc::c_long) }
}

/// The system calls of both between the two marks of the first, by their numbers.
fn system_calls(caller: u32, worker: u32) -> BTreeMap<(u32, libc::c_long), u64> {
    let mut counts = BTreeMap::new();
    let mut marks = 0;
    while marks < 2 {
        let mut status = 0;
        // SAFETY: writes into a local.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::__WNOTHREAD) };
        assert!(pid > 0 && libc::WIFSTOPPED(status), "{pid}: {status:#x}");
        let pid = pid as u32;
        if libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80
            && let Some(number) = entered(pid)
        {
            let is_mark = pid == caller && number == libc::SYS_getppid;
            marks += u32::from(is_mark);
            // Where the clock is no page of the kernel's, it is a system call.
            if marks == 1 && !is_mark && number != libc::SYS_clock_gettime {
                assert!([caller, worker].contains(&pid));
                *counts.entry((pid, number)).or_insert(0) += 1;
            }
        }
        trace(libc::PTRACE_SYSCALL, pid, 0);
    }
    counts
}

/// The number of the system call that the process is about to make.
fn entered(pid: u32) -> Option<libc::c_long> {
    // SAFETY: all bytes zero are such a record.
    let mut info: libc::ptrace_syscall_info = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes at most the size that it is given.
    unsafe {
        libc::ptrace(
            libc::PTRACE_GET_SYSCALL_INFO,
            pid as libc::pid_t,
            size_of_val(&info),
            &raw mut info,
        )
    };
    // SAFETY: the kernel has filled the part that the kind tells of.
    let number = unsafe { info.u.entry.nr };
    (info.op == libc::PTRACE_SYSCALL_INFO_ENTRY).then_some(number as libc::c_long)
}
