//! What is printed: tables to read, ratios with what they are to reach, and in the end a
//! line a figure for programs, `name value unit`.

use std::fmt;

use crate::ping_pong;
use crate::pools::{AWAIT, AWAIT_THREADS, BLOCKING};
use crate::series::{Series, find};
use crate::system::slug;
use crate::{functions, server};

/// Collects the lines, and the ratios with what they are to reach.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<(String, f64, &'static str)>,
    reaches: Vec<(String, f64, Reach)>,
}

/// What a ratio is to reach.
#[derive(Clone, Copy)]
pub(crate) enum Reach {
    AtMost(f64),
    AtLeast(f64),
}

impl Reach {
    fn holds(self, value: f64) -> bool {
        // As it is printed.
        let value = (value * 100.0).round() / 100.0;
        match self {
            Reach::AtMost(limit) => value <= limit,
            Reach::AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reach::AtMost(limit) => write!(f, "≤ {limit}"),
            Reach::AtLeast(limit) => write!(f, "≥ {limit}"),
        }
    }
}

impl Report {
    /// Begins a section of figures.
    pub(crate) fn heading(&self, text: &str) {
        println!("\n{text}");
    }

    /// A figure of its own, which is shown at once.
    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &'static str) {
        println!("  {:<52} {value:>10.2} {unit}", name.replace('_', " "));
        self.lines.push((name.to_owned(), value, unit));
    }

    /// A ratio that is to reach something.
    pub(crate) fn reach(&mut self, name: &str, value: f64, reach: Reach) {
        self.reaches.push((name.to_owned(), value, reach));
    }

    /// The table of one call after another.
    pub(crate) fn one_by_one(&mut self, all: &[Series]) {
        let mut placement = "";
        for series in all {
            if series.at != placement {
                placement = &series.at;
                println!("\none tiny call after another, {placement}");
                Report::times_heading("× ping-pong");
            }
            let unit = find(all, ping_pong::NAME, placement);
            let ratio = unit.map(|unit| series.ratio(unit));
            self.times(series, ratio);
        }
        for (name, at, limit) in [
            (BLOCKING, "one CPU", 1.3),
            (BLOCKING, "across CPUs", 1.15),
            (AWAIT, "one CPU", 2.0),
            (AWAIT, "across CPUs", 1.3),
        ] {
            let pair = find(all, name, at).zip(find(all, ping_pong::NAME, at));
            if let Some((series, unit)) = pair {
                let name = format!("{name} in ping-pongs, {at}");
                self.reach(&name, series.ratio(unit), Reach::AtMost(limit));
            }
        }
    }

    /// The table of what is done singly.
    pub(crate) fn singles(&mut self, all: &[Series]) {
        println!("\none at a time");
        Report::times_heading("");
        for series in all {
            self.times(series, None);
        }
    }

    fn times_heading(last: &str) {
        println!(
            "  {:<30} {:>10} {:>10} {:>10} {last:>12}",
            "", "median µs", "p99 µs", "a second"
        );
    }

    fn times(&mut self, series: &Series, ratio: Option<f64>) {
        let (median, p99, rate) = (series.median(), series.p99(), series.rate());
        let shown = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        println!(
            "  {:<30} {median:>10.1} {p99:>10.1} {rate:>10.0} {shown:>12}",
            series.name
        );
        let name = slug(&format!("{} {}", series.name, series.at));
        self.lines.push((name.clone(), median, "us"));
        self.lines.push((format!("{name}_p99"), p99, "us"));
        self.lines.push((format!("{name}_rate"), rate, "calls/s"));
        if let Some(ratio) = ratio {
            let name = format!("{name}_x_{}", slug(ping_pong::NAME));
            self.lines.push((name, ratio, "ratio"));
        }
    }

    /// The table of callers at once, with a pool of so many workers.
    pub(crate) fn at_once(&mut self, all: &[Series], callers: &[usize], workers: usize) {
        println!("\ncalls a second of callers at once, {workers} workers");
        print!("  {:<30}", "");
        for count in callers {
            print!(" {count:>8}");
        }
        println!();
        for first in all.iter().filter(|it| it.at == callers[0].to_string()) {
            print!("  {:<30}", first.name);
            for series in all.iter().filter(|it| it.name == first.name) {
                print!(" {:>8.0}", series.median());
                let name = format!("{}_{}_callers", slug(series.name), series.at);
                self.lines.push((name, series.median(), "calls/s"));
            }
            println!();
        }
        let most = callers.last().copied().unwrap_or(workers);
        use Reach::AtLeast;
        for ((one, one_at), (other, other_at), reach) in [
            (
                (BLOCKING, workers),
                (ping_pong::NAME, workers),
                AtLeast(0.8),
            ),
            ((AWAIT, most), (BLOCKING, workers), AtLeast(0.9)),
            ((AWAIT_THREADS, most), (BLOCKING, workers), AtLeast(0.9)),
            (
                (BLOCKING, workers),
                (server::PYTHON_NAME, workers),
                AtLeast(20.0),
            ),
            (
                (BLOCKING, workers),
                (functions::NAME, workers),
                AtLeast(3.0),
            ),
        ] {
            let pair = find(all, one, one_at).zip(find(all, other, other_at));
            if let Some((series, other)) = pair {
                let name = format!("{one} of {one_at} in {} of {other_at}", other.name);
                self.reach(&name, series.ratio(other), reach);
            }
        }
    }

    /// The ratios that are to reach something, and the lines.
    pub(crate) fn print(&self) {
        println!("\nratios, and what they are to reach");
        for (name, value, reach) in &self.reaches {
            let missed = if reach.holds(*value) { "" } else { "missed" };
            println!("  {name:<64} {value:>8.2}  {reach:<7} {missed}");
        }
        println!();
        for (name, value, _) in &self.reaches {
            println!("{} {value:.2} ratio", slug(name));
        }
        for (name, value, unit) in &self.lines {
            println!("{name} {value:.2} {unit}");
        }
    }
}
