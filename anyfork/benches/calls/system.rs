//! What all that takes calls has in common: [`System`]. The implementations are in
//! `ping_pong`, `pools`, `functions` and `server`.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Whatever goes wrong ends the benchmark, with its text.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A way to have a function called in another process. It has a worker a CPU.
pub(crate) trait System {
    /// In the tables; [`slug`] makes the names of the lines from it.
    fn name(&self) -> &'static str;

    /// One call after another for that time: what each took.
    fn one_by_one(&mut self, span: Duration) -> Result<Vec<Duration>>;

    /// So many callers, each of which makes one call after another for that time: calls
    /// a second of all of them.
    fn at_once(&mut self, callers: usize, span: Duration) -> Result<f64>;

    /// The process that calls, and the workers.
    fn processes(&mut self) -> Result<Processes>;
}

pub(crate) struct Processes {
    pub(crate) caller: u32,
    pub(crate) workers: Vec<u32>,
}

/// Times one call after another for that time.
pub(crate) fn one_by_one(
    span: Duration,
    mut call: impl FnMut() -> Result<()>,
) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let first = Instant::now();
    let mut begun = first;
    while begun - first < span {
        call()?;
        let ended = Instant::now();
        times.push(ended - begun);
        begun = ended;
    }
    Ok(times)
}

/// A thread for each caller, which makes one call after another for that time: calls a
/// second of all threads.
pub(crate) fn at_once<C: Send>(
    callers: &mut [C],
    span: Duration,
    call: impl Fn(&mut C) -> Result<()> + Sync,
) -> Result<f64> {
    let (barrier, call) = (&Barrier::new(callers.len()), &call);
    thread::scope(|scope| {
        let threads = callers.iter_mut().map(|caller| {
            scope.spawn(move || {
                barrier.wait();
                let (begun, mut made) = (Instant::now(), 0);
                while begun.elapsed() < span {
                    call(caller)?;
                    made += 1;
                }
                Ok(rate(made, begun.elapsed()))
            })
        });
        // All are there before the first is waited for.
        let threads: Vec<_> = threads.collect();
        let rates = threads.into_iter().map(|it| it.join().expect("no panic"));
        rates.sum()
    })
}

/// So many in that time: in a second.
pub(crate) fn rate(made: u64, taken: Duration) -> f64 {
    made as f64 / taken.as_secs_f64()
}

/// A name for a program to read: `CPython's pool` is `cpython_s_pool`.
pub(crate) fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").to_lowercase()
}
