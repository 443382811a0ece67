//! The clock's last day, drawn with characters or as SVG.

use std::fmt::Write as _;

use control::Value;
use house_status::{bound_text, seconds_text};

use crate::texts::{TimeTexts, fill};

/// Characters of the drawing, without its scale.
const COLUMNS: usize = 72;
const ROWS: usize = 17;
/// Points of the SVG drawing.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
/// Size of its letters: as wide as those of East Asia are; others are about half of it.
const FONT: f64 = 13.0;
/// Parts of its time axis, each with its hour.
const TICKS: u32 = 6;
/// How wide a moment is at least.
const POINT_WIDTH: f64 = 3.0;
/// Its colours.
const OFFSET: &str = "#08519c";
const BOUND: &str = "#9ecae1";
const UNKNOWN: &str = "#dddddd";
/// A scale is not smaller, in seconds: a clock that is right to the nanosecond is a line all the same.
const SCALE_MIN: f64 = 1e-9;

/// A moment: seconds since the Unix epoch, how fast the clock was, and the bound of its error, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    at: f64,
    offset: f64,
    bound: Option<f64>,
}

impl Point {
    /// Whether something was known of the clock.
    pub fn is_known(&self) -> bool {
        self.bound.is_some()
    }
}

/// The points of the daemon's answer; what is no number is left out.
pub fn points(value: &Value) -> Vec<Point> {
    let rows = value["points"].as_array().map_or(&[][..], Vec::as_slice);
    let read =
        |row: &Value| Some(Point { at: row[0].as_f64()?, offset: row[1].as_f64()?, bound: row[2].as_f64() });
    rows.iter().filter_map(read).collect()
}

/// The largest value that is drawn: every offset, and bounds as far as they do not make a line of it.
fn scale(points: &[Point]) -> f64 {
    let known = points.iter().filter(|point| point.bound.is_some());
    let offsets = known.map(|point| point.offset.abs()).fold(0.0, f64::max);
    let mut bounds: Vec<f64> = points.iter().filter_map(|point| point.bound).collect();
    bounds.sort_by(f64::total_cmp);
    // The first bounds after a start are many times those of later.
    let usual = bounds.get(bounds.len() * 9 / 10).copied().unwrap_or(0.0);
    offsets.max(usual).max(SCALE_MIN)
}

fn title(host: &str, points: &[Point], texts: &TimeTexts) -> String {
    let moment = |point: Option<&Point>| point.map_or_else(String::new, |point| utc(point.at));
    fill(
        texts.plot_title,
        &[
            ("host", &host),
            ("count", &points.len()),
            ("from", &moment(points.first())),
            ("to", &moment(points.last())),
        ],
    )
}

/// Hour and minute of a moment, with its date.
fn utc(at: f64) -> String {
    let seconds = at as i64;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let day = days + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    let day = of_year - (153 * march + 2) / 5 + 1;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", second / 3_600, second / 60 % 60)
}

/// Drawn with characters, for this host.
pub fn text(host: &str, points: &[Point], texts: &TimeTexts) -> String {
    let scale = scale(points);
    let (first, last) = (points.first().map_or(0.0, |one| one.at), points.last().map_or(0.0, |one| one.at));
    let span = (last - first).max(1.0);
    let mut grid = vec![[' '; COLUMNS]; ROWS];
    let middle = (ROWS / 2) as f64;
    let row = |value: f64| {
        let row = middle - value / scale * middle;
        (row.round().clamp(0.0, (ROWS - 1) as f64)) as usize
    };
    let mut put = |at: f64, value: f64, mark: char, over: bool| {
        let column =
            ((at - first) / span * (COLUMNS - 1) as f64).round().clamp(0.0, (COLUMNS - 1) as f64) as usize;
        if let Some(place) = grid.get_mut(row(value)).and_then(|line| line.get_mut(column))
            && (over || *place == ' ')
        {
            *place = mark;
        }
    };
    for point in points {
        for bound in point.bound.into_iter().filter(|bound| *bound <= scale) {
            put(point.at, point.offset + bound, ':', false);
            put(point.at, point.offset - bound, ':', false);
        }
    }
    for point in points {
        // Without a bound nothing is known of the clock: that is no offset of zero.
        match point.bound {
            Some(_) => put(point.at, point.offset, '*', true),
            None => put(point.at, 0.0, '?', false),
        }
    }
    let mut out = title(host, points, texts) + "\n";
    for (index, line) in grid.iter().enumerate() {
        let value = (middle - index as f64) / middle * scale;
        let label = if index % 4 == 0 { seconds_text(value) } else { String::new() };
        let axis = if index == ROWS / 2 { '+' } else { '|' };
        let drawn: String = line.iter().collect();
        let _ = writeln!(out, "{label:>10} {axis}{}", drawn.trim_end());
    }
    out + &" ".repeat(12) + texts.plot_legend + "\n"
}

/// Drawn for a browser, for this host.
pub fn svg(host: &str, points: &[Point], texts: &TimeTexts) -> String {
    let scale = scale(points) * 1.1;
    let (first, last) = (points.first().map_or(0.0, |one| one.at), points.last().map_or(0.0, |one| one.at));
    let span = (last - first).max(1.0);
    let x = |at: f64| (at - first) / span * WIDTH;
    let y = |value: f64| (HEIGHT / 2.0 - value / scale * HEIGHT / 2.0).clamp(0.0, HEIGHT);
    let line = |run: &[Point], value: &dyn Fn(&Point) -> f64, reverse: bool| {
        let mut all: Vec<String> =
            run.iter().map(|point| format!("{:.1},{:.1}", x(point.at), y(value(point)))).collect();
        // One point alone would not be seen.
        if let [point] = run {
            all.push(format!("{:.1},{:.1}", x(point.at) - POINT_WIDTH, y(value(point))));
        }
        if reverse {
            all.reverse();
        }
        all.join(" ")
    };
    let mut drawing = String::new();
    let mut runs = points.chunk_by(|one, next| one.bound.is_some() == next.bound.is_some()).peekable();
    while let Some(run) = runs.next() {
        let (Some(begin), Some(end)) = (run.first(), run.last()) else { continue };
        if begin.bound.is_none() {
            // Up to where something is known again.
            let until = runs.peek().and_then(|next| next.first()).unwrap_or(end);
            let (left, width) = (x(begin.at), (x(until.at) - x(begin.at)).max(POINT_WIDTH));
            let _ = writeln!(
                drawing,
                "<rect x=\"{left:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{UNKNOWN}\"/>"
            );
            continue;
        }
        let bound = |point: &Point| point.bound.unwrap_or(0.0);
        let (above, below) = (
            line(run, &|point| point.offset + bound(point), false),
            line(run, &|point| point.offset - bound(point), true),
        );
        let offsets = line(run, &|point| point.offset, false);
        let _ =
            writeln!(drawing, "<polygon points=\"{above} {below}\" fill=\"{BOUND}\" fill-opacity=\"0.5\"/>");
        let _ = writeln!(
            drawing,
            "<polyline points=\"{offsets}\" fill=\"none\" stroke=\"{OFFSET}\" stroke-width=\"1.5\" stroke-linecap=\"round\"/>"
        );
    }
    let mut below = String::new();
    // A minute apart at least: that is how they are labelled.
    let ticks = TICKS.min((span / 60.0) as u32).max(1);
    for tick in 0..=ticks {
        let part = f64::from(tick) / f64::from(ticks);
        let (left, label) = (part * WIDTH, utc(first + part * span));
        let hour = label.split(' ').next_back().unwrap_or_default();
        let _ = writeln!(
            below,
            "<line x1=\"{left:.1}\" y1=\"{HEIGHT}\" x2=\"{left:.1}\" y2=\"{:.0}\" stroke=\"#999\"/>\
             <text x=\"{left:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{hour}</text>",
            HEIGHT + 5.0,
            HEIGHT + 19.0,
        );
    }
    let legend = [(OFFSET, texts.plot_offset), (BOUND, texts.plot_bound), (UNKNOWN, texts.plot_unknown)];
    let mut left = 0.0;
    for (colour, name) in legend {
        let _ = writeln!(
            below,
            "<rect x=\"{left:.0}\" y=\"{:.0}\" width=\"14\" height=\"10\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{:.0}\">{name}</text>",
            HEIGHT + 34.0,
            left + 20.0,
            HEIGHT + 44.0,
        );
        left += 45.0 + name.chars().map(|c| if c >= '\u{1100}' { FONT } else { FONT * 0.55 }).sum::<f64>();
    }
    // A host's name is whatever somebody set it to.
    let host = host.replace('&', "&amp;").replace('<', "&lt;");
    let (title, top) = (title(&host, points, texts), bound_text(scale));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-90 -30 {:.0} {:.0}\" font-family=\"sans-serif\" font-size=\"{FONT:.0}\">\n\
         <title>{title}</title>\n\
         <text x=\"0\" y=\"-10\">{title}</text>\n\
         {drawing}\
         <line x1=\"0\" y1=\"{half}\" x2=\"{WIDTH}\" y2=\"{half}\" stroke=\"#999\"/>\n\
         <text x=\"-5\" y=\"10\" text-anchor=\"end\">+{top}</text>\n\
         <text x=\"-5\" y=\"{half}\" text-anchor=\"end\">0</text>\n\
         <text x=\"-5\" y=\"{HEIGHT}\" text-anchor=\"end\">-{top}</text>\n\
         {below}</svg>\n",
        WIDTH + 130.0,
        HEIGHT + 85.0,
        half = HEIGHT / 2.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: offsets and bounds stand where their values say, on a scale that is told, in both kinds of drawing; a single point
    /// and missing bounds are no trouble.
    #[test]
    fn a_day_is_drawn() {
        let texts = crate::texts::every_language()[0].time;
        let value = control::json!({ "points": [
            [1_795_364_254.0, 1e-3, null, 0.0], [1_795_364_284.0, 0.0, 2e-3, 0.0], [1_795_364_314.0, -1e-3, 2e-3, 0.0],
            ["nonsense", 1, 2, 3],
        ] });
        let points = points(&value);
        assert_eq!(points.len(), 3);
        let drawn = text("shop", &points, texts);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), ROWS + 2, "{drawn}");
        assert!(lines[0].starts_with("shop: 2026-11-22 16:17"), "{drawn}");
        assert!(lines[1].starts_with("  +2.00 ms |") && lines[1].contains(':'), "{drawn}");
        assert!(lines[9].starts_with("  +0.00 ns +?") && lines[9].contains('*'), "{drawn}");
        assert!(lines[13].ends_with('*'), "{drawn}");
        let image = svg("a<b", &points, texts);
        assert!(
            image.starts_with("<svg ") && image.ends_with("</svg>\n") && !image.contains("NaN"),
            "{image}"
        );
        assert!(
            image.contains(UNKNOWN) && image.matches("<polyline").count() == 1 && image.contains(">16:17<")
        );
        assert!(
            image.contains("<title>a&lt;b: 2026-11-22") && image.contains("the clock is fast"),
            "{image}"
        );
        assert!(!points[0].is_known() && points[1].is_known());
        let unknown = &points[..1];
        assert!(
            !svg("shop", unknown, texts).contains("NaN") && !svg("shop", unknown, texts).contains("polyline")
        );
        assert!(
            text("shop", unknown, texts).contains('?')
                && !text("shop", unknown, texts).lines().nth(9).is_some_and(|line| line.contains('*'))
        );
    }
}
