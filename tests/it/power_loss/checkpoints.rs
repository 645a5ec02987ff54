//! The checkpoints of a trace: which ones began, which ones were sealed, and the files that they replaced.

use std::path::Path;

use rand::RngExt;
use rand::rngs::StdRng;

use super::trace::{Event, Place};

#[derive(Debug)]
struct Checkpoint {
    /// The event that made its directory.
    begun: usize,
    /// The event that gave the snapshot its name; `None` if the process was killed before.
    named: Option<usize>,
    /// The event that removed the last file that it replaces.
    last_gone: usize,
}

#[derive(Debug)]
pub struct Checkpoints(Vec<Checkpoint>);

impl Checkpoints {
    pub fn in_trace(events: &[(Place, Event)]) -> Self {
        let mut checkpoints: Vec<Checkpoint> = Vec::new();
        for (at, (_, event)) in events.iter().enumerate() {
            match event {
                Event::MakeDir { name, .. } if is_unnamed(name) => {
                    checkpoints.push(Checkpoint { begun: at, named: None, last_gone: 0 });
                }
                Event::Rename { old, .. } if is_unnamed(old) => {
                    checkpoints.last_mut().expect("its directory").named = Some(at);
                }
                Event::Unlink { name, .. } if is_snapshot(name) || has_ending(name, "seg") => {
                    if let Some(last) = checkpoints.last_mut().filter(|last| last.named.is_some()) {
                        last.last_gone = at;
                    }
                }
                _ => {}
            }
        }
        Self(checkpoints)
    }

    /// The checkpoints that replaced something.
    fn sealed(&self) -> impl Iterator<Item = &Checkpoint> {
        self.0.iter().filter(|checkpoint| checkpoint.last_gone > 0)
    }

    /// Places while a snapshot is written, around its naming, and while the older one and the segments are removed.
    pub fn places(&self, rng: &mut StdRng) -> Vec<usize> {
        let mut places = Vec::new();
        for checkpoint in self.sealed() {
            let named = checkpoint.named.expect("a snapshot that replaces others has its name");
            places.extend((0..10).map(|_| rng.random_range(checkpoint.begun + 1..=named)));
            // Up to the event after the last removal; the syncs of the directories are between.
            places.extend(named..=checkpoint.last_gone + 1);
        }
        places
    }

    /// Fails unless the trace has enough checkpoints, and enough places are in them.
    pub fn are_worth_cutting(&self, places: &[usize]) {
        let is_within =
            |place: &&usize| self.sealed().any(|one| (one.begun + 1..=one.last_gone + 1).contains(*place));
        let (sealed, cuts) = (self.sealed().count(), places.iter().filter(is_within).count());
        let interrupted = self.0.iter().filter(|checkpoint| checkpoint.named.is_none()).count();
        assert!(sealed >= 5, "few checkpoints: {self:?}");
        assert!(interrupted >= 2, "no checkpoint is interrupted: {self:?}");
        assert!(cuts >= places.len().min(200) / 6, "{cuts} of {} cuts are in checkpoints", places.len());
    }
}

fn is_snapshot(name: &str) -> bool {
    name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether this is a snapshot without its final name.
fn is_unnamed(name: &str) -> bool {
    name.contains('-') && has_ending(name, "new")
}

fn has_ending(name: &str, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == ending)
}
