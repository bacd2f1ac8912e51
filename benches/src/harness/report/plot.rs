//! A comparison as an SVG: a dot for each pair's ratio, a bar at the median, a line at the goal.

use std::fmt::Write;

use super::super::{Comparison, Goal};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 120.0;
const LEFT: f64 = 20.0;
const AXIS: f64 = 80.0;

/// The plot's text.
pub(super) fn draw(comparison: &Comparison) -> String {
    let spread = comparison.spread();
    let goal = match comparison.goal {
        Goal::RateAtLeast(goal) => Some((goal, "rate", "at least")),
        Goal::TimeAtMost(goal) => Some((goal, "time", "at most")),
        Goal::None => None,
    };
    let largest = goal
        .map_or(spread.max, |(goal, ..)| spread.max.max(goal))
        .max(1.0)
        * 1.1;
    let x = |ratio: f64| LEFT + ratio / largest * (WIDTH - 2.0 * LEFT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let sense = goal.map_or("rate", |(_, sense, _)| sense);
    let title = format!(
        "{}: our {sense} / that of {}: {spread:.3}",
        comparison.name, comparison.peer
    );
    let mut line = |text: String| svg.push_str(&(text + "\n"));
    line(format!(
        "<text x=\"{LEFT}\" y=\"20\">{}</text>",
        escape(&title)
    ));
    line(format!(
        "<line x1=\"{LEFT}\" y1=\"{AXIS}\" x2=\"{}\" y2=\"{AXIS}\" stroke=\"black\"/>",
        WIDTH - LEFT
    ));
    let step = nice_step(largest);
    let ticks = (0_u32..).map(|i| f64::from(i) * step);
    for tick in ticks.take_while(|tick| *tick <= largest) {
        let at = x(tick);
        line(format!(
            "<line x1=\"{at:.1}\" y1=\"{AXIS}\" x2=\"{at:.1}\" y2=\"{}\" stroke=\"black\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            AXIS + 5.0,
            AXIS + 20.0,
            (tick * 1000.0).round() / 1000.0
        ));
    }
    if let Some((goal, _, sense)) = goal {
        let at = x(goal);
        line(format!(
            "<line x1=\"{at:.1}\" y1=\"35\" x2=\"{at:.1}\" y2=\"{AXIS}\" stroke=\"firebrick\" \
             stroke-dasharray=\"4\"/><text x=\"{at:.1}\" y=\"34\" text-anchor=\"middle\" \
             fill=\"firebrick\">{sense} {goal}</text>"
        ));
    }
    let at = x(spread.median);
    line(format!(
        "<rect x=\"{:.1}\" y=\"45\" width=\"3\" height=\"30\" fill=\"steelblue\"/>",
        at - 1.5
    ));
    for pair in &comparison.pairs {
        let at = x(comparison.ratio(pair));
        line(format!(
            "<circle cx=\"{at:.1}\" cy=\"60\" r=\"4\" fill=\"steelblue\" fill-opacity=\"0.5\"/>"
        ));
    }
    let _ = svg.write_str("</svg>\n");
    svg
}

/// 1, 2 or 5 times a power of ten, so that an axis has five to twelve ticks.
fn nice_step(largest: f64) -> f64 {
    let rough = largest / 10.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|s| s * power);
    steps
        .into_iter()
        .find(|s| *s >= rough)
        .unwrap_or(10.0 * power)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
