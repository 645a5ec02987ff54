//! The measurements of a run and their summary: medians over the rounds, and ratios that are made in each round.
//! Windows of one round are close together in time: a ratio within a round says more than one of two medians.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};

use serde::Serialize;

/// All kinds of requests together; the first of them in order.
pub const ALL: &str = "all answers";

/// Prints a line to standard error: standard output has the results alone.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The output.
#[derive(Serialize)]
pub struct Results {
    pub program: &'static str,
    pub began: String,
    pub plan: String,
    pub seed: u64,
    /// The ratios compare the first server with the others of the same routes.
    pub servers: Vec<ServerResults>,
    pub warnings: Vec<String>,
}

#[derive(Serialize)]
pub struct ServerResults {
    pub name: String,
    pub what: String,
    /// `/api` or `/v2`.
    pub routes: &'static str,
    /// Figures of its start: `ready_ms` from the start of its process, `idle_memory_mib` before the first request.
    #[serde(skip)]
    pub start: Figures,
    /// [`ALL`], and each kind of request.
    pub summary: BTreeMap<&'static str, Summary>,
    pub windows: Vec<Window>,
}

/// [`ALL`] or one kind of requests, in all rounds.
#[derive(Default, Serialize)]
pub struct Summary {
    /// Sums of the counts of all rounds, the greatest `max_us` and `memory_mib`, and the medians of the others.
    pub figures: Figures,
    /// The first server's figures divided by these: the median of the ratios of each round.
    pub ratios: Figures,
}

/// By name; a figure that could not be had is missing.
pub type Figures = BTreeMap<&'static str, f64>;

#[derive(Serialize)]
pub struct Window {
    /// From the first request to the last answer.
    pub lasted_s: f64,
    /// [`ALL`], and such as `check, wrong code`. Times are those of the expected answers, CPU that of the whole round and
    /// all processes of the server.
    pub kinds: BTreeMap<&'static str, Figures>,
    /// Of an open loop: requests that never left.
    pub dropped: u64,
    /// The first unexpected answers, each once.
    pub quotes: BTreeSet<String>,
}

impl Window {
    /// A figure of all answers, or 0.
    pub fn figure(&self, name: &str) -> f64 {
        self.kinds.get(ALL).and_then(|all| all.get(name)).copied().unwrap_or_default()
    }
}

impl ServerResults {
    pub fn summarise(&mut self, first: Option<&Self>) {
        let kinds: BTreeSet<&str> =
            self.windows.iter().flat_map(|window| window.kinds.keys().copied()).collect();
        for kind in kinds {
            let own = self.windows.iter().filter_map(|window| window.kinds.get(kind).cloned());
            let mut figures = over_rounds(own);
            if kind == ALL {
                figures.extend(&self.start);
            }
            let pairs = first.into_iter().flat_map(|first| first.windows.iter().zip(&self.windows));
            let ratios = pairs.filter_map(|(first, this)| {
                let (first, this) = (first.kinds.get(kind)?, this.kinds.get(kind)?);
                let ratio = |(name, figure): (&&'static str, &f64)| Some((*name, figure / this.get(name)?));
                // Sums differ as rates do, and the longest time among many answers proves nothing.
                let is_compared =
                    |name: &str| !matches!(name, "answers" | "refused" | "unexpected" | "max_us");
                let ratios = first.iter().filter_map(ratio);
                Some(ratios.filter(|(name, ratio)| is_compared(name) && ratio.is_finite()).collect())
            });
            self.summary.insert(kind, Summary { figures, ratios: over_rounds(ratios) });
        }
    }
}

fn over_rounds(rounds: impl Iterator<Item = Figures>) -> Figures {
    let mut by_name = BTreeMap::<&'static str, Vec<f64>>::new();
    for (name, figure) in rounds.flatten() {
        by_name.entry(name).or_default().push(figure);
    }
    let combined = |(name, mut figures): (&'static str, Vec<f64>)| {
        figures.sort_by(f64::total_cmp);
        let figure = match name {
            "answers" | "refused" | "unexpected" => figures.iter().sum(),
            "max_us" | "memory_mib" => *figures.last()?,
            // Of an even number of values the mean of the two in the middle.
            _ => f64::midpoint(figures[(figures.len() - 1) / 2], figures[figures.len() / 2]),
        };
        Some((name, figure))
    };
    by_name.into_iter().filter_map(combined).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of a bench")]
pub const fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_show_the_sum_of_counts_the_greatest_memory_and_other_medians() {
        let round = |answers, memory_mib, p50_us| {
            Figures::from([("answers", answers), ("memory_mib", memory_mib), ("p50_us", p50_us)])
        };
        let found = over_rounds([round(1.0, 9.0, 5.0), round(2.0, 3.0, 1.0)].into_iter());
        assert_eq!(found, round(3.0, 9.0, 3.0));
    }
}
