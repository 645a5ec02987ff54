//! Tells whoever waits for a run how far it is: a bar on a terminal, nothing elsewhere.

use std::fmt;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::bench::Watcher;

/// How often a bar is drawn that nothing moves.
const DRAW_EVERY: Duration = Duration::from_millis(500);

/// The bar, if there is a terminal to draw on.
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `length` is the time that is measured.
    pub fn new(terminal: bool, length: Duration) -> Self {
        let bar = terminal.then(|| {
            let bar = ProgressBar::new(milliseconds(length));
            // A template that is written here is one.
            let template = "{msg:40!} {wide_bar} {percent:>3} %, {left} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.with_key("left", |state: &ProgressState, out: &mut dyn fmt::Write| {
                    let left = state.len().unwrap_or_default().saturating_sub(state.pos());
                    // Writing to the bar cannot fail.
                    let _ = write!(out, "{:#}", HumanDuration(Duration::from_millis(left)));
                }));
            }
            bar.enable_steady_tick(DRAW_EVERY);
            bar
        });
        Self { bar }
    }

    /// It is over, however it ended.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Watcher for Progress {
    fn begins(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    fn at(&self, passed: Duration) {
        if let Some(bar) = &self.bar {
            bar.set_position(milliseconds(passed));
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
