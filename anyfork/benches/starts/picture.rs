//! The picture of the README: time to start a process against the caller's heap.

use crate::bare;
use crate::chart::{Chart, Line, OTHERS, OURS, YARDSTICK};
use crate::series::Series;

/// The systems that are drawn, their names there, and their colours: ours, what others
/// have for processes of the same program, and external programs.
const LINES: [(&str, &str, &str); 11] = [
    ("anyfork warm, ready", "anyfork, with a spare", OURS),
    ("anyfork cold, ready", "anyfork, from a template", OURS),
    ("anyfork new_exec, ready", "anyfork, new_exec", OURS),
    ("anyfork Command", "anyfork Command", OURS),
    (bare::NAME, "fork of an empty process", YARDSTICK),
    ("AnyEvent::Fork", "AnyEvent::Fork", OTHERS),
    ("CPython forkserver", "CPython forkserver", OTHERS),
    ("procspawn", "procspawn", OTHERS),
    ("std Command", "std Command", PROGRAMS),
    ("tokio Command", "tokio Command", PROGRAMS),
    (
        "std Command, pre_exec",
        "std Command with pre_exec",
        PROGRAMS,
    ),
];

/// As readable on any ground as the other colours.
const PROGRAMS: &str = "#2a7fd0";

pub(crate) fn draw(all: &[Series], machine: &str) -> String {
    let most = all.iter().map(|series| series.heap).max().unwrap_or(0) / 1024;
    let chart = Chart {
        title: "Time to start a process, by the memory of the process that starts it",
        caption: format!("Medians of cargo bench -p anyfork. {machine}"),
        marks: (0..=most.max(1)).map(|gib| gib as f64).collect(),
        mark: |gib| format!("{gib} GiB"),
        scale: |gib| gib,
        value: time,
    };
    let lines = LINES.map(|(name, label, colour)| {
        let series = all.iter().filter(|series| series.name == name);
        let points = series
            .map(|it| (it.heap as f64 / 1024.0, it.median()))
            .collect();
        Line {
            label,
            colour,
            points,
        }
    });
    chart.draw(lines.into())
}

/// `95 µs`, `1.5 ms`.
fn time(micros: f64) -> String {
    let (value, unit) = match micros {
        ..1e3 => (micros, "µs"),
        ..1e6 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    let tenths = (value * 10.0).round() / 10.0;
    match value {
        ..9.95 => format!("{tenths} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}
