//! What makes the windows of a server doubtful, told once for all rounds in which it was so.

use std::time::Duration;

use super::driver::Seen;
use super::report::count;
use super::tally::us;

/// A load that lets one request in a hundred leave this much late measures itself.
const LATE: Duration = Duration::from_millis(2);

/// What was seen so far, by round, counted from 1.
#[derive(Debug, Default)]
pub struct Doubts {
    /// Requests that never left.
    left_over: Vec<(u32, u64)>,
    /// Nanoseconds by which one request in a hundred was late.
    late: Vec<(u32, u64)>,
    quotes: Vec<(u32, String)>,
}

impl Doubts {
    /// Looks at one window.
    pub fn look_at(&mut self, round: u32, seen: &Seen) {
        if seen.left_over > 0 {
            self.left_over.push((round, seen.left_over));
        }
        let late = seen.lateness.value_at_quantile(0.99);
        if Duration::from_nanos(late) > LATE {
            self.late.push((round, late));
        }
        self.quotes.extend(seen.quotes.iter().map(|quote| (round, quote.clone())));
    }

    /// In words, of a run of so many rounds and, in an open loop, so many requests per second.
    pub fn told(&self, rounds: u32, rate: Option<u32>) -> Vec<String> {
        let mut told = Vec::new();
        let left_over: u64 = self.left_over.iter().map(|(_, requests)| requests).sum();
        if left_over > 0 {
            told.push(format!(
                "{}, {} requests of the schedule never left, because all connections waited for answers until \
                 twice the length of the window had passed: the rate is beyond the server, and the times are too good",
                among(&self.left_over, rounds),
                count(left_over)
            ));
        }
        if let Some(worst) = self.late.iter().map(|(_, late)| *late).max() {
            told.push(format!(
                "{}, the load itself was late: one in a hundred requests left {:.1} ms or more after its moment though a \
                 connection was free; it has too little CPU for {} requests/s beside the servers, and the times are longer \
                 for that",
                among(&self.late, rounds),
                us(worst) / 1e3,
                count(rate.unwrap_or_default().into())
            ));
        }
        let mut quoted: Vec<&str> = Vec::new();
        for (_, quote) in &self.quotes {
            if !quoted.contains(&quote.as_str()) {
                quoted.push(quote);
                let same: Vec<_> = self.quotes.iter().filter(|(_, other)| other == quote).cloned().collect();
                told.push(format!("{}, unexpected: {quote}", among(&same, rounds)));
            }
        }
        told
    }
}

/// `in round 2`, `in rounds 1, 2 and 4`, `in every round`.
fn among<T>(seen: &[(u32, T)], rounds: u32) -> String {
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
    fn what_several_rounds_have_in_common_is_said_once() {
        let quote = |round, text: &str| (round, text.to_owned());
        let doubts = Doubts {
            left_over: vec![(2, 7_000)],
            late: vec![(1, 4_200_000), (2, 3_000_000), (3, 5_100_000)],
            quotes: vec![quote(1, "send: 500"), quote(2, "send: 500"), quote(2, "send: 403")],
        };
        let told = doubts.told(3, Some(1000));
        let begins = [
            "in round 2, 7,000 requests of the schedule never left",
            "in every round, the load itself was late: one in a hundred requests left 5.1 ms",
            "in rounds 1 and 2, unexpected: send: 500",
            "in round 2, unexpected: send: 403",
        ];
        assert_eq!(told.len(), begins.len(), "{told:?}");
        for (told, begins) in told.iter().zip(begins) {
            assert!(told.starts_with(begins), "{told}");
        }
        assert!(Doubts::default().told(3, None).is_empty());
    }

    #[test]
    fn rounds_are_named_as_few_as_they_are() {
        assert_eq!(among(&[(1, ())], 1), "in round 1");
        assert_eq!(among(&[(1, ()), (3, ()), (5, ())], 5), "in rounds 1, 3 and 5");
    }
}
