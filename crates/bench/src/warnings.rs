//! Reasons to doubt the windows of a server, each said once for all rounds that it applies to.

use std::time::Duration;

use crate::client::Seen;
use crate::figures::{count, rate};

/// A load that lets one request in a hundred leave this late measures itself.
const LATE: Duration = Duration::from_millis(2);

/// An open loop that achieves less of its rate is overloaded.
const ACHIEVED_AT_LEAST: f64 = 0.95;

/// A share of refused requests (429, 503) with which an open loop is overloaded.
const REFUSED_AT_MOST: f64 = 0.01;

/// By round, counted from 1.
#[derive(Debug, Default)]
pub struct Warnings {
    /// Requests that were dropped, refused, and the rate that was achieved.
    overloads: Vec<(u32, (u64, u64, f64))>,
    late: Vec<(u32, Duration)>,
    quotes: Vec<(u32, String)>,
}

impl Warnings {
    pub fn look_at(&mut self, round: u32, asked: Option<u32>, seen: &Seen) {
        if let Some((asked, achieved)) = asked.zip(seen.achieved) {
            let sum = |of: fn(&crate::results::Kind) -> u64| seen.kinds.iter().map(of).sum::<u64>();
            let (answers, refused) = (sum(|kind| kind.answers), sum(|kind| kind.refused));
            let too_slow = achieved < f64::from(asked) * ACHIEVED_AT_LEAST;
            let share = crate::results::float(refused) / crate::results::float((answers + refused).max(1));
            if too_slow || seen.dropped > 0 || share > REFUSED_AT_MOST {
                self.overloads.push((round, (seen.dropped, refused, achieved)));
            }
        }
        if seen.lateness > LATE {
            self.late.push((round, seen.lateness));
        }
        self.quotes.extend(seen.quotes.iter().map(|quote| (round, quote.clone())));
    }

    /// Why the rate of an open loop was too high for the server.
    pub fn overload(&self, rounds: u32, asked: Option<u32>) -> Option<String> {
        let worst = self.overloads.iter().map(|(_, (.., achieved))| *achieved).min_by(f64::total_cmp)?;
        let dropped: u64 = self.overloads.iter().map(|(_, (dropped, ..))| dropped).sum();
        let refused: u64 = self.overloads.iter().map(|(_, (_, refused, _))| refused).sum();
        Some(format!(
            "overloaded {}: of {} requests/s asked for, {} were achieved; {} requests never left and {} were refused. \
             Latencies of such a run are too good: use a lower --rate or more --connections",
            rounds_named(&self.overloads, rounds),
            count(asked.unwrap_or_default().into()),
            rate(worst),
            count(dropped),
            count(refused)
        ))
    }

    /// Of a run of so many rounds.
    pub fn sentences(&self, rounds: u32, asked: Option<u32>) -> Vec<String> {
        let mut sentences: Vec<String> = self.overload(rounds, asked).into_iter().collect();
        if let Some(worst) = self.late.iter().map(|(_, late)| *late).max() {
            sentences.push(format!(
                "{}, the load itself was late: one request in a hundred left {:.1} ms or more after its moment though a \
                 connection was free. The load has too little CPU for this rate beside the servers, and latencies are too \
                 long",
                rounds_named(&self.late, rounds),
                worst.as_secs_f64() * 1e3
            ));
        }
        let mut quoted: Vec<&str> = Vec::new();
        for (_, quote) in &self.quotes {
            if !quoted.contains(&quote.as_str()) {
                quoted.push(quote);
                let same: Vec<_> = self.quotes.iter().filter(|(_, other)| other == quote).cloned().collect();
                sentences.push(format!("{}, unexpected: {quote}", rounds_named(&same, rounds)));
            }
        }
        sentences
    }
}

/// `in round 2`, `in rounds 1, 2 and 4`, `in every round`.
fn rounds_named<T>(seen: &[(u32, T)], rounds: u32) -> String {
    let numbers: Vec<String> = seen.iter().map(|(round, _)| round.to_string()).collect();
    match numbers.as_slice() {
        all if all.len() > 1 && u32::try_from(all.len()) == Ok(rounds) => "in every round".to_owned(),
        [one] => format!("in round {one}"),
        [first @ .., last] => format!("in rounds {} and {last}", first.join(", ")),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_of_several_rounds_is_said_once() {
        let quote = |round, text: &str| (round, text.to_owned());
        let ms = Duration::from_millis;
        let warnings = Warnings {
            overloads: vec![(2, (7_000, 0, 640.0))],
            late: vec![(1, ms(4)), (2, ms(3)), (3, ms(5))],
            quotes: vec![quote(1, "send: 500"), quote(2, "send: 500"), quote(2, "send: 403")],
        };
        let sentences = warnings.sentences(3, Some(1000));
        let begins = [
            "overloaded in round 2: of 1,000 requests/s asked for, 640 were achieved; 7,000 requests never left",
            "in every round, the load itself was late: one request in a hundred left 5.0 ms",
            "in rounds 1 and 2, unexpected: send: 500",
            "in round 2, unexpected: send: 403",
        ];
        assert_eq!(sentences.len(), begins.len(), "{sentences:?}");
        for (sentence, begins) in sentences.iter().zip(begins) {
            assert!(sentence.starts_with(begins), "{sentence}");
        }
        assert!(Warnings::default().sentences(3, None).is_empty());
    }

    #[test]
    fn rounds_are_named() {
        assert_eq!(rounds_named(&[(1, ())], 1), "in round 1");
        assert_eq!(rounds_named(&[(1, ()), (3, ()), (5, ())], 5), "in rounds 1, 3 and 5");
    }
}
