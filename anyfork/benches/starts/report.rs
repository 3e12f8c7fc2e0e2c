//! What is printed: a table to read, and in the end a line a figure for programs,
//! `name value unit`.

use crate::bare;
use crate::series::{Series, size};
use crate::system::slug;

/// Collects the lines.
#[derive(Default)]
pub(crate) struct Report(Vec<(String, f64, &'static str)>);

/// Which is how many times which, at the same heap.
const RATIOS: [(&str, &str); 19] = [
    ("anyfork warm, ready, 1 ms apart", "bare fork, 1 ms apart"),
    ("raw waiting process", "bare fork"),
    ("raw waiting process, 1 ms apart", "bare fork, 1 ms apart"),
    ("anyfork warm, ready", "raw waiting process"),
    (
        "anyfork warm, ready, 1 ms apart",
        "raw waiting process, 1 ms apart",
    ),
    ("anyfork cold, ready", "raw template, ready"),
    ("anyfork cold, status", "raw template, status"),
    ("anyfork Command", "raw vfork and exec"),
    ("AnyEvent::Fork", "anyfork cold, byte"),
    ("AnyEvent::Fork", "anyfork cold, ready"),
    ("CPython forkserver", "anyfork cold, byte"),
    ("CPython forkserver", "anyfork cold, ready"),
    ("procspawn", "anyfork cold, status"),
    ("anyfork Command", "std Command"),
    ("tokio Command", "anyfork Command"),
    ("std Command, pre_exec", "anyfork Command, init"),
    ("anyfork spawn, thread busy", "std spawn, thread busy"),
    ("anyfork spawn, thread busy", "tokio spawn, thread busy"),
    ("anyfork spawn, thread CPU", "std spawn, thread CPU"),
];

impl Report {
    /// Begins a section of figures.
    pub(crate) fn heading(&self, text: &str) {
        println!("\n{text}");
    }

    /// A figure of its own, which is shown at once.
    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &'static str) {
        println!("  {:<52} {value:>10.2} {unit}", name.replace('_', " "));
        self.line(name, value, unit);
    }

    fn line(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.0.push((name.into(), value, unit));
    }

    /// The table of all times, and their lines.
    pub(crate) fn times(&mut self, all: &[Series], heaps: &[usize]) {
        print!("\n{:<32}", "to start one, in µs");
        for heap in heaps {
            print!(" {:>16}", size(*heap));
        }
        print!("\n{:<32}", "");
        for _ in heaps {
            print!(" {:>9} {:>6}", "median", "p99");
        }
        println!(" {:>9} {:>9}", "× bare", "starts/s");
        // All are there without a heap.
        for first in all.iter().filter(|series| series.heap == heaps[0]) {
            print!("{:<32}", first.name);
            for heap in heaps {
                match find(all, first.name, *heap) {
                    Some(series) => print!(" {:>9.1} {:>6.0}", series.median(), series.p99()),
                    None => print!(" {:>9} {:>6}", "-", "-"),
                }
            }
            let bare = find(all, bare::NAME, first.heap);
            let ratio = bare.map_or(f64::NAN, |bare| first.median() / bare.median());
            let rate = first.rate();
            let rate = rate.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
            println!(" {ratio:>9.2} {rate:>9}");
        }
        for series in all {
            let name = series.slug();
            self.line(&name, series.median(), "us");
            self.line(format!("{name}_p99"), series.p99(), "us");
            if let Some(rate) = series.rate() {
                self.line(format!("{name}_rate"), rate, "starts/s");
            }
        }
    }

    /// The ratios of the medians.
    pub(crate) fn ratios(&mut self, all: &[Series]) {
        self.heading("ratios of the medians");
        let workers = |it: &&Series| it.name.starts_with("anyfork cold") || is_warm(it);
        for series in all.iter().filter(workers) {
            if let Some(bare) = find(all, bare::NAME, series.heap) {
                let name = format!("{}_x_{}", series.slug(), slug(bare.name));
                self.figure(&name, series.median() / bare.median(), "ratio");
            }
        }
        for (one, other) in RATIOS {
            for series in all.iter().filter(|series| series.name == one) {
                if let Some(other) = find(all, other, series.heap) {
                    let name = format!("{}_x_{}", series.slug(), slug(other.name));
                    self.figure(&name, series.median() / other.median(), "ratio");
                }
            }
        }
        for small in all.iter().filter(|series| series.heap == 0) {
            for big in all.iter().filter(|it| it.name == small.name && it.heap > 0) {
                let name = format!("{}_x_0gib", big.slug());
                self.figure(&name, big.median() / small.median(), "ratio");
            }
        }
    }

    /// The lines.
    pub(crate) fn print_lines(&self) {
        println!();
        for (name, value, unit) in &self.0 {
            println!("{name} {value:.2} {unit}");
        }
    }
}

fn is_warm(series: &Series) -> bool {
    series.name.starts_with("anyfork warm")
}

fn find<'a>(all: &'a [Series], name: &str, heap: usize) -> Option<&'a Series> {
    all.iter().find(|it| it.name == name && it.heap == heap)
}
