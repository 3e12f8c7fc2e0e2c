//! The picture of the README: calls a second against the number of callers.

use crate::chart::{Chart, Line, OTHERS, OURS, YARDSTICK};
use crate::pools::{AWAIT, AWAIT_THREADS, BLOCKING};
use crate::series::{Series, find};
use crate::{functions, ping_pong, server};

/// The systems that are drawn, their names there, and their colours.
const LINES: [(&str, &str, &str); 7] = [
    (BLOCKING, "anyfork, threads", OURS),
    (AWAIT, "anyfork, tasks of a thread", OURS),
    (AWAIT_THREADS, "anyfork, tasks of threads", OURS),
    (ping_pong::NAME, "bytes over sockets, no calls", YARDSTICK),
    (functions::NAME, "procspawn's pool", OTHERS),
    (server::PYTHON_NAME, "ProcessPoolExecutor", OTHERS),
    (server::PERL_NAME, "AnyEvent::Fork", OTHERS),
];

/// Draws the series of each number of callers, with so many workers.
pub(crate) fn draw(all: &[Series], callers: &[usize], workers: usize, machine: &str) -> String {
    let chart = Chart {
        title: &format!("Calls a second on {workers} workers, by the number of callers"),
        caption: format!("Medians of `cargo bench -p anyfork --bench calls`. {machine}"),
        marks: callers.iter().map(|&count| count as f64).collect(),
        mark: |count| format!("{count}"),
        scale: f64::log2,
        value: rate,
    };
    let lines = LINES.map(|(name, label, colour)| {
        let point = |&count: &usize| Some((count as f64, find(all, name, count)?.median()));
        Line {
            label,
            colour,
            points: callers.iter().filter_map(point).collect(),
        }
    });
    chart.draw(lines.into())
}

/// `950`, `1.9k`, `12k`.
fn rate(rate: f64) -> String {
    match rate {
        ..1e3 => format!("{rate:.0}"),
        ..1e4 => format!("{}k", (rate / 100.0).round() / 10.0),
        _ => format!("{:.0}k", rate / 1e3),
    }
}
