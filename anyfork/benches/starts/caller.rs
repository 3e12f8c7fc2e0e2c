//! How long the calling thread is kept by one spawn of a program: what else an
//! async thread has to do waits so long. The programs are waited for outside of
//! the measured time.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::process;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

use crate::programs::{PROGRAM, runtime};
use crate::system::{Result, System};

/// What is added up.
#[derive(Clone, Copy, PartialEq)]
enum Clock {
    /// The wall's, while the thread is in the call, or in the future's `poll`.
    Busy,
    /// The thread's own processor time, with the runtime's.
    Processor,
}

struct Caller {
    name: &'static str,
    clock: Clock,
    runtime: Runtime,
    spawn: fn(&Runtime, Clock) -> Result<Duration>,
}

pub(crate) fn systems() -> Result<Vec<Box<dyn System>>> {
    type Spawn = fn(&Runtime, Clock) -> Result<Duration>;
    let all: [(_, _, Spawn); 6] = [
        ("std spawn, thread busy", Clock::Busy, std),
        ("tokio spawn, thread busy", Clock::Busy, tokio),
        ("anyfork spawn, thread busy", Clock::Busy, anyfork),
        ("std spawn, thread CPU", Clock::Processor, std),
        ("tokio spawn, thread CPU", Clock::Processor, tokio),
        ("anyfork spawn, thread CPU", Clock::Processor, anyfork),
    ];
    let system = |(name, clock, spawn)| {
        let runtime = runtime()?;
        Ok(Box::new(Caller {
            name,
            clock,
            runtime,
            spawn,
        }) as Box<dyn System>)
    };
    all.into_iter().map(system).collect()
}

fn std(_: &Runtime, clock: Clock) -> Result<Duration> {
    let begun = Begun::now(clock)?;
    let mut child = process::Command::new(PROGRAM).spawn()?;
    let taken = begun.elapsed()?;
    child.wait()?;
    Ok(taken)
}

fn tokio(runtime: &Runtime, clock: Clock) -> Result<Duration> {
    let spawn = async { tokio::process::Command::new(PROGRAM).spawn() };
    let (child, taken) = measure(runtime, clock, spawn)?;
    let _ = runtime.block_on(child?.wait())?;
    Ok(taken)
}

fn anyfork(runtime: &Runtime, clock: Clock) -> Result<Duration> {
    let spawn = async { anyfork::Command::new(PROGRAM).spawn().await };
    let (child, taken) = measure(runtime, clock, spawn)?;
    let _ = runtime.block_on(child?.wait())?;
    Ok(taken)
}

/// Runs a future to its end: what it gives, and what it took.
fn measure<F: Future>(runtime: &Runtime, clock: Clock, future: F) -> Result<(F::Output, Duration)> {
    let whole = Begun::now(clock)?;
    let (output, polls) = runtime.block_on(async {
        let (mut future, mut polls) = (pin!(future), Duration::ZERO);
        let output = poll_fn(|context| {
            let begun = Instant::now();
            let poll = future.as_mut().poll(context);
            polls += begun.elapsed();
            poll
        });
        (output.await, polls)
    });
    match clock {
        Clock::Busy => Ok((output, polls)),
        Clock::Processor => Ok((output, whole.elapsed()?)),
    }
}

/// A point of time by one of the clocks.
struct Begun(Clock, Duration);

impl Begun {
    fn now(clock: Clock) -> Result<Begun> {
        let id = match clock {
            Clock::Busy => ClockId::CLOCK_MONOTONIC,
            Clock::Processor => ClockId::CLOCK_THREAD_CPUTIME_ID,
        };
        Ok(Begun(clock, clock_gettime(id)?.into()))
    }

    fn elapsed(&self) -> Result<Duration> {
        Ok(Begun::now(self.0)?.1 - self.1)
    }
}

impl System for Caller {
    fn name(&self) -> &'static str {
        self.name
    }

    fn block(&mut self, starts: usize) -> Result<Vec<Duration>> {
        let spawn = |_| (self.spawn)(&self.runtime, self.clock);
        (0..starts).map(spawn).collect()
    }

    fn back_to_back(&self) -> bool {
        false
    }
}
