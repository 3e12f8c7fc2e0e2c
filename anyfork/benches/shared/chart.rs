//! A picture of the README: lines on a logarithmic scale, each with its name and its
//! last value beside its end. SVG, readable on light and dark ground.

use std::fmt::{self, Write};

// Each colour has a contrast of about 4 and more to white and to black.
pub(crate) const OURS: &str = "#e0560b";
pub(crate) const YARDSTICK: &str = "#777777";
pub(crate) const OTHERS: &str = "#8a63d2";

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
pub(crate) struct Line {
    pub(crate) label: &'static str,
    pub(crate) colour: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Line {
    fn last(&self) -> (f64, f64) {
        *self.points.last().expect("a line has points")
    }
}

/// What is drawn, and how values are written.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) caption: String,
    /// The values at the lower edge: the first is at the left end, the last at the right.
    pub(crate) marks: Vec<f64>,
    pub(crate) mark: fn(f64) -> String,
    /// Makes the distances along the lower edge, as a logarithm does.
    pub(crate) scale: fn(f64) -> f64,
    pub(crate) value: fn(f64) -> String,
}

impl Chart<'_> {
    /// Draws the lines that have points.
    pub(crate) fn draw(&self, mut lines: Vec<Line>) -> String {
        lines.retain(|line| !line.points.is_empty());
        // From the top to the bottom, as the labels are.
        lines.sort_by(|a, b| b.last().1.total_cmp(&a.last().1));
        let mut svg = String::new();
        self.write(&mut svg, &lines)
            .expect("a string takes everything");
        svg
    }

    fn write(&self, svg: &mut String, lines: &[Line]) -> fmt::Result {
        writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="13">"#
        )?;
        let style = "font-size=\"16\" fill=\"#777777\"";
        text(svg, (20.0, 26.0), style, self.title)?;
        let axes = Axes::around(self, lines);
        axes.write(svg)?;
        let wanted: Vec<_> = lines.iter().map(|line| axes.y(line.last().1)).collect();
        for (line, label) in lines.iter().zip(apart(&wanted)) {
            axes.line(svg, line, label)?;
        }
        let style = "font-size=\"11\" fill=\"#777777\"";
        text(svg, (20.0, HEIGHT - 12.0), style, &self.caption)?;
        writeln!(svg, "</svg>")
    }
}

/// From values to places.
struct Axes<'a> {
    chart: &'a Chart<'a>,
    left: f64,
    right: f64,
    /// The powers of ten at the bottom and the top.
    from: f64,
    to: f64,
}

impl Axes<'_> {
    fn around<'a>(chart: &'a Chart<'a>, lines: &[Line]) -> Axes<'a> {
        let points = || lines.iter().flat_map(|line| &line.points);
        let least = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let most = points().map(|point| point.1).fold(1.0, f64::max);
        let [first, .., last] = chart.marks[..] else {
            panic!("a chart has two marks");
        };
        Axes {
            chart,
            left: (chart.scale)(first),
            right: (chart.scale)(last),
            from: least.log10() - 0.15,
            to: most.log10() + 0.15,
        }
    }

    fn x(&self, value: f64) -> f64 {
        let part = ((self.chart.scale)(value) - self.left) / (self.right - self.left);
        LEFT + (RIGHT - LEFT) * part
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (value.log10() - self.from) / (self.to - self.from)
    }

    /// Lines of a colour that is faint on any ground, and what they mean.
    fn write(&self, svg: &mut String) -> fmt::Result {
        for power in self.from.floor() as i32..=self.to.ceil() as i32 {
            for digit in [1.0, 2.0, 5.0] {
                let value = digit * 10f64.powi(power);
                if !(self.from..self.to).contains(&value.log10()) {
                    continue;
                }
                let y = self.y(value);
                writeln!(
                    svg,
                    r##"<path d="M{LEFT} {y:.1}H{RIGHT}" stroke="#777777" stroke-opacity="0.3"/>"##
                )?;
                let style = "text-anchor=\"end\" fill=\"#777777\"";
                let value = (self.chart.value)(value);
                text(svg, (LEFT - 10.0, y + 4.5), style, &value)?;
            }
        }
        for &mark in &self.chart.marks {
            let style = "text-anchor=\"middle\" fill=\"#777777\"";
            let place = (self.x(mark), BOTTOM + 22.0);
            text(svg, place, style, &(self.chart.mark)(mark))?;
        }
        Ok(())
    }

    /// A line, and its name at that height.
    fn line(&self, svg: &mut String, line: &Line, label: f64) -> fmt::Result {
        let colour = line.colour;
        let place = |&(x, y): &(f64, f64)| format!("{:.1},{:.1}", self.x(x), self.y(y));
        let points: Vec<_> = line.points.iter().map(place).collect();
        writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            points.join(" ")
        )?;
        for point in &points {
            let (x, y) = point.split_once(',').expect("made so above");
            writeln!(svg, r#"<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>"#)?;
        }
        let (x, value) = line.last();
        let (x, y) = (self.x(x) + 5.0, self.y(value));
        writeln!(
            svg,
            r#"<path d="M{x:.1} {y:.1}L{:.1} {label:.1}" stroke="{colour}" stroke-width="0.7"/>"#,
            RIGHT + 32.0
        )?;
        let style = format!("fill=\"{colour}\"");
        let name = format!("{}: {}", line.label, (self.chart.value)(value));
        text(svg, (RIGHT + 36.0, label + 4.5), &style, &name)
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

fn text(svg: &mut String, (x, y): (f64, f64), style: &str, text: &str) -> fmt::Result {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" {style}>{text}</text>"#)
}
