//! The figures of the overview, in words.

use super::words::{grouped, money, share};
use crate::node::history::Counts;

/// A figure of this period, and a note about the one before.
pub struct Figure {
    pub name: &'static str,
    pub value: String,
    pub note: String,
    pub is_problem: bool,
}

/// Verifications from which on none that is verified is a problem.
pub const SOME: u64 = 5;

/// What is counted before a gateway is chosen.
const OF_NO_GATEWAY: [&str; 3] = ["Conversion", "Refused messages", "Numbers locked out"];

/// `failed` names failures. Of one gateway there are fewer figures.
pub fn figures(
    all: &Counts,
    before: Option<&Counts>,
    currency: &str,
    failed: &'static str,
    is_of_gateway: bool,
) -> Vec<Figure> {
    let figures = |of: &Counts| {
        [
            ("Messages sent", grouped(of.accepted)),
            ("Numbers verified", grouped(of.verified)),
            ("Conversion", share(of.verified, of.begun)),
            (failed, grouped(of.failed.total())),
            ("Refused messages", grouped(of.refused.total())),
            ("Numbers locked out", grouped(of.lockouts)),
            ("Estimated cost", format!("{} {currency}", money(of.cost_micros))),
        ]
    };
    let mut earlier = before.map(figures).into_iter().flatten();
    let figure = |(name, value)| {
        let known = earlier.next().filter(|(_, value)| value != "–");
        let note = known.map(|(_, value)| format!("before: {value}"));
        let is_problem = name == "Conversion" && all.verified == 0 && all.begun >= SOME;
        let further = match name {
            _ if is_problem => Some("no code was right".to_owned()),
            "Refused messages" if all.saved_micros > 0 => {
                Some(format!("saved {} {currency}", money(all.saved_micros)))
            }
            _ => None,
        };
        let note = [note, further].into_iter().flatten().collect::<Vec<_>>().join(", ");
        Figure { name, value, note, is_problem }
    };
    let all = figures(all).into_iter().map(figure);
    all.filter(|figure| !is_of_gateway || !OF_NO_GATEWAY.contains(&figure.name)).collect()
}

/// A step of the way from a message to a verified number.
pub struct Step {
    pub name: &'static str,
    pub count: u64,
    /// The share of the step before it; empty of the first.
    pub share: String,
    pub before: Option<u64>,
}

pub fn funnel(all: &Counts, before: Option<&Counts>) -> [Step; 4] {
    let step = |name, count: fn(&Counts) -> u64, whole: Option<u64>| Step {
        name,
        count: count(all),
        share: whole.map(|whole| share(count(all), whole)).unwrap_or_default(),
        before: before.map(count),
    };
    let (sent, delivered) = (all.accepted, all.delivery.total());
    // Without reports of all the messages that a gateway took are the step before a check.
    let before_check = if all.tried <= delivered { delivered } else { sent };
    [
        step("sent", |counts| counts.accepted, None),
        step("delivered, as reported", |counts| counts.delivery.total(), (delivered > 0).then_some(sent)),
        step("tried", |counts| counts.tried, Some(before_check)),
        step("verified", |counts| counts.verified, Some(all.tried)),
    ]
}

/// Counts with what they are of, but for those that are none.
fn in_words(counts: [(&str, u64); 5]) -> String {
    let counted = counts.into_iter().filter(|(_, count)| *count > 0);
    counted.map(|(what, count)| format!("{} {what}", grouped(count))).collect::<Vec<_>>().join(", ")
}

/// What refused messages.
pub fn refused_by(counts: &Counts) -> String {
    let refused = &counts.refused;
    in_words([
        ("by the guard", refused.guard),
        ("by budgets", refused.budget),
        ("by rate limits", refused.rate_limit),
        ("by lockouts", refused.lockout),
        ("by limits of verifications", refused.verification),
    ])
}

/// Why messages failed.
pub fn causes(counts: &Counts) -> String {
    let failed = &counts.failed;
    in_words([
        ("number not reachable", failed.number),
        ("configuration or account", failed.configuration),
        ("refused by the provider", failed.refused),
        ("no gateway available", failed.unavailable),
        ("outcome unknown", failed.unknown),
    ])
}
