//! Random rounds on a snapshot of its own, against a map: records that come, change, go and end, layers that are merged
//! in all ways, disks that fail, and starts in between.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rustix::io::Errno;

use super::faulty::{FaultyDisk, Operation};
use super::*;
use crate::embedded::changes::Changes;
use crate::embedded::disk::Disk;
use crate::embedded::snapshot::{Covered, Round, Snapshot};

/// Few, so that a key has records in many layers.
const SUBJECTS: u64 = 60;

#[derive(Debug, Clone)]
enum Action {
    /// Which subjects change: to a text and for how many seconds, or to nothing.
    Round {
        changes: BTreeMap<u64, Option<(String, u64)>>,
        paced: bool,
    },
    Tidy,
    Advance(u64),
    Open,
    /// The next attempts at this fail, and then the same is tried again on a disk that works.
    Fail(Operation),
}

fn action() -> impl Strategy<Value = Action> {
    let record = prop::option::weighted(0.7, ("[a-z]{0,80}", 1_u64..3_000));
    let changes = prop::collection::btree_map(0..SUBJECTS, record, 0..40);
    prop_oneof![
        10 => (changes, any::<bool>()).prop_map(|(changes, paced)| Action::Round { changes, paced }),
        2 => Just(Action::Tidy),
        3 => (0_u64..1_500).prop_map(Action::Advance),
        2 => Just(Action::Open),
        3 => prop::sample::select(vec![
            Operation::Create,
            Operation::Write,
            Operation::Sync,
            Operation::Rename,
            Operation::SyncDir,
            Operation::Remove,
        ])
        .prop_map(Action::Fail),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]

    #[test]
    fn whatever_rounds_do_the_snapshot_has_what_was_brought_in_and_has_not_ended(
        actions in prop::collection::vec(action(), 1..40),
    ) {
        let mut trial = Trial::new();
        for action in actions {
            trial.take(action);
            trial.check(&trial.snapshot);
        }
        trial.check(&trial.opened());
    }
}

struct Trial {
    home: TempDir,
    disk: FaultyDisk,
    shared: Arc<dyn Disk>,
    snapshot: Snapshot,
    now: Timestamp,
    segment: u64,
    /// The newest record of each subject, ended or not: its sequence, its end and its text.
    expected: BTreeMap<u64, (u64, Timestamp, String)>,
}

impl Trial {
    fn new() -> Self {
        let (home, disk) = (TempDir::new().unwrap(), FaultyDisk::default());
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let path = home.path().join("snapshot");
        fs::create_dir(&path).unwrap();
        Snapshot::create(&path, &shared, START).unwrap();
        let snapshot = Snapshot::open(&path, &shared, START, &mut |_, _| {}).unwrap();
        Self { home, disk, shared, snapshot, now: START, segment: 0, expected: BTreeMap::new() }
    }

    /// What a start at this moment finds.
    fn opened(&self) -> Snapshot {
        Snapshot::open(&self.home.path().join("snapshot"), &self.shared, self.now, &mut |_, _| {}).unwrap()
    }

    fn take(&mut self, action: Action) {
        match action {
            Action::Round { changes, paced } => self.round(changes, paced),
            Action::Tidy => {
                let tidied = self.snapshot.tidy(self.now, &mut || true);
                self.check(&self.opened());
                self.disk.heal();
                if tidied.is_err() {
                    self.snapshot.tidy(self.now, &mut || true).unwrap();
                }
            }
            Action::Advance(seconds) => self.now = self.now.plus(Duration::from_secs(seconds)),
            Action::Open => {
                self.disk.heal();
                self.snapshot = self.opened();
                self.snapshot.make_durable().unwrap();
            }
            Action::Fail(operation) => self.disk.fail(operation, Errno::IO),
        }
    }

    fn round(&mut self, changed_to: BTreeMap<u64, Option<(String, u64)>>, paced: bool) {
        self.segment += 1;
        let (sequence, mut written) = (self.segment, Changes::default());
        let mut after = self.expected.clone();
        for (subject, to) in changed_to {
            // Whoever writes knows of what has not ended.
            let is_known = self.expected.get(&subject).is_some_and(|(_, end, _)| self.now < *end);
            let mut write = write(subject, Revision::ABSENT, None);
            if let Some((text, seconds)) = to {
                write.gc_after = self.now.plus(Duration::from_secs(seconds));
                write.put = Some(Bytes::from(text.clone()));
                after.insert(subject, (sequence, write.gc_after, text));
            } else {
                after.remove(&subject);
            }
            written.apply(sequence, write, is_known);
        }
        let covered = Covered { segment: self.segment, sequence, time: self.now };
        let round = Round::new(Arc::new(written), covered, paced);
        let applied = self.snapshot.apply(&round, self.now);
        // A start at this moment finds the one or the other.
        let (opened, before) = (self.opened(), std::mem::replace(&mut self.expected, after));
        if opened.covered() == covered {
            self.check(&opened);
        } else {
            assert!(applied.is_err() && opened.covered().segment == self.segment - 1);
            let after = std::mem::replace(&mut self.expected, before);
            self.check(&opened);
            self.expected = after;
        }
        self.disk.heal();
        if applied.is_err() {
            self.snapshot.apply(&round, self.now).unwrap();
        }
        assert_eq!(self.snapshot.covered(), covered);
    }

    fn check(&self, snapshot: &Snapshot) {
        let nothing = Changes::default();
        let (mut merged, mut found) = (snapshot.with(&nothing).unwrap(), BTreeMap::new());
        while let Some(entry) = merged.next_entry().unwrap() {
            if let Some(record) = entry.alive_at(self.now) {
                let text = String::from_utf8(record.to_vec()).unwrap();
                found.insert(entry.key.subject.0, (entry.sequence, entry.gc_after, text));
            }
        }
        let mut expected = self.expected.clone();
        expected.retain(|_, (_, end, _)| self.now < *end);
        assert_eq!(found, expected);
        let keys: Vec<Key> = (0..SUBJECTS).map(key).collect();
        for (subject, entry) in (0..).zip(snapshot.find(&keys).unwrap()) {
            let sequence =
                entry.filter(|entry| entry.alive_at(self.now).is_some()).map(|entry| entry.sequence);
            assert_eq!(sequence, expected.get(&subject).map(|(sequence, ..)| *sequence), "{subject}");
        }
    }
}
