//! How far a run is: a bar on a terminal, nothing elsewhere.

use std::fmt;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
    /// Measured time before the present window.
    passed: Duration,
}

impl Progress {
    /// `length` is the time that is measured.
    pub fn new(length: Duration) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(milliseconds(length))
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{msg:40!} {wide_bar} {percent:>3} %, {left} left") {
            bar.set_style(style.with_key("left", |state: &ProgressState, out: &mut dyn fmt::Write| {
                let left = state.len().unwrap_or_default().saturating_sub(state.pos());
                let _ = write!(out, "{:#}", HumanDuration(Duration::from_millis(left)));
            }));
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        Self { bar, passed: Duration::ZERO }
    }

    /// Something begins, such as `round 2 of 5: onceward`.
    pub fn begin(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// So much of the present window has passed.
    pub fn at(&self, time: Duration) {
        self.bar.set_position(milliseconds(self.passed + time));
    }

    pub fn window_ended(&mut self, length: Duration) {
        self.passed += length;
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
