//! What all that starts processes has in common: [`System`]. The implementations
//! are in `bare`, `workers`, `programs`, `caller`, `functions` and `server`.

use std::time::{Duration, Instant};

/// Whatever goes wrong ends the benchmark, with its text.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A way to start processes.
pub(crate) trait System {
    /// In the table; [`slug`] makes the names of the lines from it.
    fn name(&self) -> &'static str;

    /// Starts so many, one after another: what each took.
    fn block(&mut self, starts: usize) -> Result<Vec<Duration>>;

    /// Makes the process that starts them so many bytes big. Only for systems
    /// that live in another process than this one, which has its ballast already.
    /// `false` if the memory is short.
    fn heap(&mut self, _size: usize) -> Result<bool> {
        Ok(true)
    }

    /// Whether a block's starts follow each other at once, and each is over
    /// before the next: then it says how many there can be in a second.
    fn back_to_back(&self) -> bool {
        true
    }

    /// Starts so many that stay idle until [`release`](System::release), and
    /// gives their pids, if it knows how.
    fn hold(&mut self, _count: usize) -> Result<Option<Vec<u32>>> {
        Ok(None)
    }

    /// Ends those that are held.
    fn release(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Times `count` runs of `start`, each of which ends with what it gives. What is
/// given is dropped after its time was taken.
pub(crate) fn time<T>(count: usize, mut start: impl FnMut() -> Result<T>) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        let started = start()?;
        times.push(begun.elapsed());
        drop(started);
    }
    Ok(times)
}

/// A name for a program to read: `std Command, pre_exec` is `std_command_pre_exec`.
pub(crate) fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").to_lowercase()
}
