//! Shows how far a command has come.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::{Clock, SystemClock};
use crate::domain::Timestamp;

/// The time between two lines where there is no terminal to draw on.
const EVERY: Duration = Duration::from_secs(5);

/// Looking at the clock costs as much as a small record does.
const RECORDS_PER_LOOK: u64 = 1024;

/// A bar on a terminal, lines elsewhere, nothing with `--quiet`.
pub(in crate::cli) struct Progress {
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { what: &'static str, clock: SystemClock, said: Timestamp, total: Option<u64> },
    Nothing,
}

impl Progress {
    /// `what` is what is going on, such as "exporting".
    pub(in crate::cli) fn of(what: &'static str, quiet: bool) -> Self {
        let shown = if quiet {
            Shown::Nothing
        } else if stderr().is_terminal() {
            let bar = ProgressBar::no_length().with_message(what);
            set_style(&bar, "{msg} {human_pos} {spinner}");
            Shown::Bar(bar)
        } else {
            let clock = SystemClock::start();
            Shown::Lines { what, clock, said: clock.now(), total: None }
        };
        Self { shown }
    }

    /// Sets the expected number of records.
    pub(super) fn expect(&mut self, records: u64) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_length(records);
                set_style(bar, "{msg} {wide_bar} {human_pos}/{human_len} {eta}");
            }
            Shown::Lines { total, .. } => *total = Some(records),
            Shown::Nothing => {}
        }
    }

    /// Reports the number of records so far.
    pub(super) fn at(&mut self, records: u64) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                if records.is_multiple_of(RECORDS_PER_LOOK) {
                    bar.set_position(records);
                }
            }
            Shown::Lines { what, clock, said, total } => {
                if !records.is_multiple_of(RECORDS_PER_LOOK) || clock.now().since(*said) < EVERY {
                    return;
                }
                *said = clock.now();
                let of = total.map_or_else(String::new, |total| format!(" of {total}"));
                // If standard error is closed, there is no reader.
                let _ = writeln!(stderr(), "{what}: {records}{of} records");
            }
            Shown::Nothing => {}
        }
    }

    /// Another part of the work begins.
    pub(super) fn now(&mut self, doing: &'static str) {
        match &mut self.shown {
            Shown::Bar(bar) => bar.set_message(doing),
            Shown::Lines { what, .. } => *what = doing,
            Shown::Nothing => {}
        }
    }

    /// Removes the bar.
    pub(super) fn end(self) {
        if let Shown::Bar(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}

fn set_style(bar: &ProgressBar, template: &str) {
    // Only a template with a mistake in it is refused.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}
