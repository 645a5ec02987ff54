//! From values to the lines of a plot: coordinates and words, which `page/plot.svg` then marks up.
//!
//! How a line looks (colour, dash) is the page's style, by the number of its server; only the shapes of markers are here.

use std::fmt::Write as _;

use askama::Template;

use super::axis::Axis;

/// Looks that differ; servers beyond them begin again.
pub(super) const LOOKS: usize = 6;

/// The size that coordinates are in. Small, so that text keeps a readable size where the plot is scaled down to a
/// telephone's width.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;

/// Room around the lines for marks and titles.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 50.0;

/// Markers on a line: enough to tell it from others, too few to hide it.
const MARKERS: usize = 8;

/// About the width of a marker; two on one line keep that distance.
const MARKER: f64 = 10.0;

/// About the width of a character of a mark; for the decision which labels have room, so a little too much is right.
const CHARACTER: f64 = 8.5;

/// The values of one server.
pub(super) struct Series {
    pub server: usize,
    /// Pieces of a line, broken where there was nothing.
    pub pieces: Vec<Vec<(f64, f64)>>,
    /// x, least and most over the rounds; empty for no band.
    pub band: Vec<(f64, f64, f64)>,
}

/// One plot, as its template needs it.
#[derive(Template)]
#[template(path = "plot.svg")]
pub(super) struct Plot {
    pub id: String,
    pub title: String,
    pub description: String,
    x_title: String,
    y_title: String,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x_marks: Vec<Placed>,
    y_marks: Vec<Placed>,
    breaks: Vec<String>,
    lines: Vec<Drawn>,
}

struct Placed {
    at: String,
    label: String,
}

struct Drawn {
    look: usize,
    band: String,
    line: String,
    markers: String,
}

impl Plot {
    /// `breaks` are values of x at which a new round begins.
    pub fn new(
        id: String,
        title: String,
        description: String,
        (x, y): (&Axis, &Axis),
        series: &[Series],
        breaks: &[f64],
    ) -> Self {
        let right = WIDTH - RIGHT;
        let bottom = HEIGHT - BOTTOM;
        let at_x = |value: f64| LEFT + x.place(value) * (right - LEFT);
        let at_y = |value: f64| bottom - y.place(value) * (bottom - TOP);
        let many = series.len().max(1);
        let draw = |(index, series): (usize, &Series)| {
            let place = |(x, y): &(f64, f64)| (at_x(*x), at_y(*y));
            let pieces: Vec<Vec<(f64, f64)>> =
                series.pieces.iter().map(|piece| piece.iter().map(place).collect()).collect();
            let upper = series.band.iter().map(|(x, _, most)| (at_x(*x), at_y(*most)));
            let lower = series.band.iter().rev().map(|(x, least, _)| (at_x(*x), at_y(*least)));
            Drawn {
                look: series.server % LOOKS,
                band: path(upper.chain(lower)),
                line: pieces.iter().map(|piece| path(piece.iter().copied())).collect(),
                markers: markers(series.server, &pieces, (index, many)),
            }
        };
        let marks_of = |axis: &Axis, at: &dyn Fn(f64) -> f64| {
            axis.marks
                .iter()
                .map(|mark| Placed { at: number(at(mark.at)), label: mark.label.clone() })
                .collect()
        };
        let mut x_marks: Vec<Placed> = marks_of(x, &at_x);
        leave_room(&mut x_marks);
        Self {
            id,
            title,
            description,
            x_title: x.title.clone(),
            y_title: y.title.clone(),
            width: WIDTH,
            height: HEIGHT,
            left: LEFT,
            right,
            top: TOP,
            bottom,
            x_marks,
            y_marks: marks_of(y, &at_y),
            breaks: breaks.iter().map(|value| number(at_x(*value))).collect(),
            lines: series.iter().enumerate().map(draw).collect(),
        }
    }
}

/// The shape of a server's markers, around a point.
pub(super) fn marker(server: usize, (x, y): (f64, f64)) -> String {
    let (x, y) = (number(x), number(y));
    let shape = match server % LOOKS {
        0 => "m-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
        1 => "m-3.5,-3.5h7v7h-7z",
        2 => "m0,-4.8l4.5,8h-9z",
        3 => "m0,-5l5,5l-5,5l-5,-5z",
        4 => "m0,4.8l-4.5,-8h9z",
        _ => "m-1.5,-5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z",
    };
    format!("M{x},{y}{shape}")
}

/// All points of a short line; some of a long one, each server's at others. A point that stands alone has one always,
/// because it has no line.
fn markers(server: usize, pieces: &[Vec<(f64, f64)>], (index, many): (usize, usize)) -> String {
    let points: usize = pieces.iter().map(Vec::len).sum();
    let every = if points <= 2 * MARKERS { 1 } else { points / MARKERS };
    let offset = every * (2 * index + 1) / (2 * many);
    let mut seen = 0;
    let mut drawn = String::new();
    let mut last = f64::NEG_INFINITY;
    for piece in pieces {
        for (x, y) in piece.iter().copied() {
            let chosen = seen % every == offset % every && x - last >= MARKER;
            if chosen || piece.len() == 1 {
                drawn += &marker(server, (x, y));
                last = x;
            }
            seen += 1;
        }
    }
    drawn
}

/// Takes labels out that would touch the one before.
fn leave_room(marks: &mut Vec<Placed>) {
    let mut end = f64::NEG_INFINITY;
    marks.retain(|mark| {
        #[expect(clippy::cast_precision_loss, reason = "a label has a few characters")]
        let half = mark.label.chars().count() as f64 * CHARACTER / 2.0;
        let at: f64 = mark.at.parse().unwrap_or(0.0);
        let fits = at - half >= end;
        if fits {
            end = at + half;
        }
        fits
    });
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        let command = if path.is_empty() { 'M' } else { 'L' };
        _ = write!(path, "{command}{},{}", number(x), number(y));
    }
    path
}

/// A tenth of a unit is finer than a screen shows.
fn number(value: f64) -> String {
    format!("{value:.1}")
}
