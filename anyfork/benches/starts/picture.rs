//! The picture of the README: time to start a process against the caller's heap,
//! on a logarithmic scale, a line a system. SVG, readable on light and dark
//! ground.

use std::fmt::{self, Write};

use crate::bare;
use crate::series::Series;

/// What is drawn, what it is called there, and the colour: ours, what others have
/// for processes of the same program, and external programs.
const LINES: [(&str, &str, &str); 11] = [
    ("anyfork warm, ready", "anyfork, warm", OURS),
    ("anyfork cold, ready", "anyfork, cold", OURS),
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

// Each has a contrast of about 4 and more to white and to black.
const OURS: &str = "#e0560b";
const YARDSTICK: &str = "#777777";
const OTHERS: &str = "#8a63d2";
const PROGRAMS: &str = "#2a7fd0";

const WIDTH: f64 = 830.0;
const HEIGHT: f64 = 500.0;
/// Where the lines are.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 520.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 420.0;
/// From one label's base line to the next.
const SPACING: f64 = 17.0;

/// A system's line.
struct Line {
    label: &'static str,
    colour: &'static str,
    /// GiB and µs.
    points: Vec<(f64, f64)>,
}

impl Line {
    fn last(&self) -> (f64, f64) {
        *self.points.last().expect("a line has points")
    }
}

pub(crate) fn draw(all: &[Series], machine: &str) -> String {
    let mut lines: Vec<_> = LINES
        .into_iter()
        .map(|(name, label, colour)| {
            let series = all.iter().filter(|series| series.name == name);
            let points = series.map(|it| (it.heap as f64, it.median())).collect();
            Line {
                label,
                colour,
                points,
            }
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    // From the top to the bottom, as the labels are.
    lines.sort_by(|a, b| b.last().1.total_cmp(&a.last().1));
    let mut svg = String::new();
    write(&mut svg, &lines, machine).expect("a string takes all");
    svg
}

fn write(svg: &mut String, lines: &[Line], machine: &str) -> fmt::Result {
    let axes = Axes::around(lines);
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="13">"#
    )?;
    text(
        svg,
        (20.0, 26.0),
        "font-size=\"16\" fill=\"#777777\"",
        "Time to start a process, by the memory of the process that starts it",
    )?;
    axes.write(svg)?;
    let wanted: Vec<_> = lines.iter().map(|line| axes.y(line.last().1)).collect();
    for (line, label) in lines.iter().zip(apart(&wanted)) {
        let colour = line.colour;
        let points: Vec<_> = line
            .points
            .iter()
            .map(|&(gib, micros)| format!("{:.1},{:.1}", axes.x(gib), axes.y(micros)))
            .collect();
        writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            points.join(" ")
        )?;
        for point in &points {
            let (x, y) = point.split_once(',').expect("made so above");
            writeln!(svg, r#"<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>"#)?;
        }
        let (gib, micros) = line.last();
        let (x, y) = (axes.x(gib) + 5.0, axes.y(micros));
        writeln!(
            svg,
            r#"<path d="M{x:.1} {y:.1}L{:.1} {label:.1}" stroke="{colour}" stroke-width="0.7"/>"#,
            RIGHT + 32.0
        )?;
        let style = format!("fill=\"{colour}\"");
        let name = format!("{}: {}", line.label, time(micros));
        text(svg, (RIGHT + 36.0, label + 4.5), &style, &name)?;
    }
    let caption = "font-size=\"11\" fill=\"#777777\"";
    text(
        svg,
        (20.0, HEIGHT - 12.0),
        caption,
        &format!("Medians of `cargo bench -p anyfork`. {machine}"),
    )?;
    writeln!(svg, "</svg>")
}

/// From values to places.
struct Axes {
    gib: f64,
    /// The powers of ten of a microsecond at the bottom and the top.
    from: f64,
    to: f64,
}

impl Axes {
    fn around(lines: &[Line]) -> Axes {
        let points = || lines.iter().flat_map(|line| &line.points);
        let least = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let most = points().map(|point| point.1).fold(1.0, f64::max);
        Axes {
            gib: points().map(|point| point.0).fold(1.0, f64::max),
            from: least.log10() - 0.15,
            to: most.log10() + 0.15,
        }
    }

    fn x(&self, gib: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * gib / self.gib
    }

    fn y(&self, micros: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (micros.log10() - self.from) / (self.to - self.from)
    }

    /// Lines of a colour that is faint on any ground, and what they mean.
    fn write(&self, svg: &mut String) -> fmt::Result {
        for power in -1..7 {
            for digit in [1.0, 2.0, 5.0] {
                let micros = digit * 10f64.powi(power);
                if !(self.from..self.to).contains(&micros.log10()) {
                    continue;
                }
                let y = self.y(micros);
                writeln!(
                    svg,
                    r##"<path d="M{LEFT} {y:.1}H{RIGHT}" stroke="#777777" stroke-opacity="0.3"/>"##
                )?;
                let style = "text-anchor=\"end\" fill=\"#777777\"";
                text(svg, (LEFT - 10.0, y + 4.5), style, &time(micros))?;
            }
        }
        let mut gib = 0.0;
        while gib <= self.gib {
            let style = "text-anchor=\"middle\" fill=\"#777777\"";
            text(
                svg,
                (self.x(gib), BOTTOM + 22.0),
                style,
                &format!("{gib} GiB"),
            )?;
            gib += 1.0;
        }
        Ok(())
    }
}

/// Where labels go that want to be at these places, from the top to the bottom,
/// and must not overlap. Neighbours that would are moved apart around their mean.
fn apart(wanted: &[f64]) -> Vec<f64> {
    // Groups of labels: how many, and the mean of the places that they want.
    let mut groups: Vec<(usize, f64)> = Vec::new();
    let half = |count: usize| SPACING * (count as f64 - 1.0) / 2.0;
    for &place in wanted {
        groups.push((1, place));
        while let [.., (above, upper), (below, lower)] = groups[..]
            && upper + half(above) + SPACING > lower - half(below)
        {
            let count = above + below;
            let mean = (upper * above as f64 + lower * below as f64) / count as f64;
            groups.truncate(groups.len() - 2);
            groups.push((count, mean));
        }
    }
    let places = groups.iter().flat_map(|&(count, mean)| {
        (0..count).map(move |nth| mean - half(count) + SPACING * nth as f64)
    });
    places.collect()
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

fn text(svg: &mut String, (x, y): (f64, f64), style: &str, text: &str) -> fmt::Result {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" {style}>{text}</text>"#)
}
