//! Whether anything grew: the last quarter of the run beside the second.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::sample::Sample;
use super::stored::Stored;
use super::{CODE_LIVES, LOCKED_FOR};
use crate::median;

/// Growth of memory, of files and of threads that is taken for noise: a share, and a number of units.
const NOISE: f64 = 0.05;
/// In bytes: a buffer or an arena more or less.
const MEMORY_NOISE: f64 = 8.0 * 1024.0 * 1024.0;
/// Files and threads come and go.
const COUNT_NOISE: f64 = 8.0;

/// The disk may take so many times the live data...
const TIMES_LIVE: f64 = 3.0;
/// ... and this, for the journal and what is being written.
const DISK_BEYOND: f64 = 256.0 * 1024.0 * 1024.0;

/// From then on as many records end as come.
const LEVEL_AFTER: Duration = Duration::from_secs(CODE_LIVES.as_secs() + LOCKED_FOR.as_secs());

/// One figure in both quarters.
struct Row {
    name: &'static str,
    /// What one unit is divided by before it is printed.
    unit: f64,
    second_quarter: f64,
    last_quarter: f64,
    most: f64,
    /// Whether it may not grow, and by how much it may.
    noise: Option<f64>,
}

/// The comparison.
pub struct Verdict {
    rows: Vec<Row>,
    /// Whether the run was long enough for what is alive to be level before the second quarter: of the numbers, and of
    /// the sends that the tracker remembers.
    long_enough: bool,
    /// The largest share of its bound that the disk took, in any sample but those of the first quarter.
    disk_share: f64,
    /// In the sample that this was in: space, and live data.
    disk_at_worst: (f64, f64),
}

impl Verdict {
    /// Of a whole run.
    pub fn of(samples: &[Sample], length: Duration, stored: Stored) -> Self {
        let quarter = samples.len() / 4;
        let later = &samples[quarter..];
        let live = |sample: &Sample| as_f64(stored.live_bytes(sample));
        let share = |sample: &Sample| as_f64(sample.disk) / (TIMES_LIVE * live(sample) + DISK_BEYOND);
        let worst = later.iter().max_by(|a, b| share(a).total_cmp(&share(b)));
        let row = |name, unit, noise, value: &dyn Fn(&Sample) -> f64| {
            let median_of = |samples: &[Sample]| {
                if samples.is_empty() { 0.0 } else { median(samples.iter().map(value)) }
            };
            Row {
                name,
                unit,
                noise,
                second_quarter: median_of(&samples[quarter..2 * quarter]),
                last_quarter: median_of(&samples[samples.len() - quarter..]),
                most: samples.iter().map(value).fold(0.0, f64::max),
            }
        };
        let mib = 1024.0 * 1024.0;
        let rows = vec![
            row("memory (Rss), MiB", mib, Some(MEMORY_NOISE), &|s| as_f64(s.rss)),
            row("of it anonymous, MiB", mib, Some(MEMORY_NOISE), &|s| as_f64(s.anonymous)),
            row("disk, MiB", mib, None, &|s| as_f64(s.disk)),
            row("lengths of files, MiB", mib, None, &|s| as_f64(s.length)),
            row("journal, MiB", mib, None, &|s| as_f64(s.journal)),
            row("snapshot, MiB", mib, None, &|s| as_f64(s.snapshot)),
            row("layers of it", 1.0, None, &|s| as_f64(s.layers)),
            row("live data, MiB", mib, None, &live),
            row("live numbers", 1.0, None, &|s| as_f64(s.numbers)),
            row("open files", 1.0, Some(COUNT_NOISE), &|s| as_f64(s.files)),
            row("threads", 1.0, Some(COUNT_NOISE), &|s| as_f64(s.threads)),
            row("log, MiB in all", mib, None, &|s| as_f64(s.logged)),
            row("requests/s", 1.0, None, &|s| s.rate),
            row("p99, ms", 1.0, None, &|s| s.p99_ms),
            row("CPU us per request", 1.0, None, &|s| s.cpu_us),
            row("answers 503 in all", 1.0, None, &|s| as_f64(s.unavailable)),
        ];
        let disk_at_worst = worst.map_or((0.0, 0.0), |sample| (as_f64(sample.disk), live(sample)));
        let tracked = |sample: Option<&Sample>| sample.map(|sample| sample.tracked);
        let long_enough = length / 4 > LEVEL_AFTER && tracked(later.first()) == tracked(later.last());
        Self { rows, long_enough, disk_share: worst.map_or(0.0, share), disk_at_worst }
    }

    /// Whether it is known that nothing grew, and that the disk stayed within its bound.
    pub fn is_good(&self) -> bool {
        self.disk_share <= 1.0 && self.long_enough && self.rows.iter().all(|row| !row.grew())
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let rows: Value = self
            .rows
            .iter()
            .map(|row| {
                let Row { name, unit, second_quarter, last_quarter, most, .. } = row;
                let figures = json!({
                    "second_quarter": second_quarter / unit,
                    "last_quarter": last_quarter / unit,
                    "most": most / unit,
                    "growth_percent": row.growth() * 100.0,
                    "grew": row.grew(),
                });
                ((*name).to_owned(), figures)
            })
            .collect();
        json!({ "good": self.is_good(), "long_enough": self.long_enough, "disk_share_of_bound": self.disk_share, "figures": rows })
    }
}

impl Row {
    fn growth(&self) -> f64 {
        if self.second_quarter > 0.0 { self.last_quarter / self.second_quarter - 1.0 } else { 0.0 }
    }

    fn grew(&self) -> bool {
        let more = self.last_quarter - self.second_quarter;
        self.noise.is_some_and(|noise| more > noise && more > self.second_quarter * NOISE)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<24}{:>16}{:>16}{:>12}{:>12}",
            "medians", "second quarter", "last quarter", "growth %", "most"
        )?;
        for row in &self.rows {
            let Row { name, unit, second_quarter, last_quarter, most, noise } = row;
            let [second, last, most] = [second_quarter, last_quarter, most].map(|value| value / unit);
            let remark = match noise {
                Some(_) if row.grew() => "  GREW",
                Some(_) => "  flat",
                None => "",
            };
            writeln!(
                f,
                "{name:<24}{second:>16.1}{last:>16.1}{:>+12.1}{most:>12.1}{remark}",
                row.growth() * 100.0
            )?;
        }
        let (disk, live) = self.disk_at_worst;
        let mib = 1024.0 * 1024.0;
        writeln!(
            f,
            "\ndisk at its worst: {:.1} MiB with {:.1} MiB of live data; {:.0} % of {TIMES_LIVE} times live data and {:.0} MiB",
            disk / mib,
            live / mib,
            self.disk_share * 100.0,
            DISK_BEYOND / mib
        )?;
        let verdict = match (self.is_good(), self.long_enough) {
            (true, _) => "good",
            (false, true) => "NOT GOOD",
            (false, false) => "none: the run was too short, the number of live records still grew",
        };
        write!(f, "verdict: {verdict}")
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn as_f64(value: u64) -> f64 {
    value as f64
}
