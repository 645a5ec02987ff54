//! What a trace shows of the snapshot: which layers came, and what they took the place of.

use std::fmt::{self, Display};
use std::ops::Range;

use rand::RngExt;
use rand::rngs::StdRng;

use super::trace::{Event, Place};

/// A layer that came.
#[derive(Debug)]
struct Round {
    /// The first and the last segment that it has the changes of.
    segments: (u64, u64),
    /// From the creation of its file to the event before the next of its kind.
    events: Range<usize>,
    /// When it got its name; never, if the process was killed before.
    named: Option<usize>,
    /// How many layers went because of it.
    replaced: usize,
    /// When the last of them went.
    last_gone: usize,
}

/// All of them.
#[derive(Debug)]
pub struct Rounds(Vec<Round>);

impl Rounds {
    /// Those of a trace.
    pub fn in_trace(events: &[(Place, Event)]) -> Self {
        let mut rounds: Vec<Round> = Vec::new();
        for (at, (_, event)) in events.iter().enumerate() {
            match event {
                Event::Create { name, .. } => {
                    let Some(segments) = layer(name, ".new") else { continue };
                    if let Some(last) = rounds.last_mut() {
                        last.events.end = at;
                    }
                    let events = at..events.len();
                    rounds.push(Round { segments, events, named: None, replaced: 0, last_gone: 0 });
                }
                Event::Rename { new, .. } if layer(new, ".layer").is_some() => {
                    rounds.last_mut().expect("its creation").named = Some(at);
                }
                Event::Unlink { name, .. } if layer(name, ".layer").is_some() => {
                    let last = rounds.last_mut().expect("a round that replaces it");
                    last.replaced += 1;
                    last.last_gone = at;
                }
                _ => {}
            }
        }
        Self(rounds)
    }

    /// Those of which several layers became one.
    fn merges(&self) -> impl Iterator<Item = &Round> {
        self.0.iter().filter(|round| round.replaced >= 2)
    }

    /// Places behind events while several layers are written as one, around its name, and while the others go.
    pub fn places_in_merges(&self, rng: &mut StdRng) -> Vec<usize> {
        let mut places = Vec::new();
        for round in self.merges() {
            let named = round.named.expect("a layer that replaces others has its name");
            places.extend((0..3).map(|_| rng.random_range(round.events.start + 1..=named)));
            // Up to the event behind the last removal; between are the sync of the directory and the others.
            places.extend(named..=round.last_gone + 1);
        }
        places
    }

    /// Whether there is what the cuts are about.
    pub fn are_worth_cutting(&self, places: &[usize]) {
        let in_merges = |place: &&usize| {
            self.merges().any(|round| (round.events.start + 1..=round.last_gone + 1).contains(*place))
        };
        let (merges, cuts) = (self.merges().count(), places.iter().filter(in_merges).count());
        assert!(merges >= 3 && self.whole().count() >= 1, "little is merged: {self}");
        assert!(self.interrupted().count() >= 2, "no round is interrupted: {self}");
        assert!(cuts >= places.len().min(200) / 6, "{cuts} of {} cuts are in merges", places.len());
    }

    /// Those that took in everything that there was, of several layers.
    fn whole(&self) -> impl Iterator<Item = &Round> {
        self.merges().filter(|round| round.segments.0 == 0)
    }

    fn interrupted(&self) -> impl Iterator<Item = &Round> {
        self.0.iter().filter(|round| round.named.is_none())
    }
}

impl Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} layers, {} of them from several, {} from all, at most from {}; {} not finished",
            self.0.len(),
            self.merges().count(),
            self.whole().count(),
            self.0.iter().map(|round| round.replaced).max().unwrap_or(0),
            self.interrupted().count(),
        )
    }
}

fn layer(name: &str, kind: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_suffix(kind)?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}
