//! Several layers, and changes above them, read as if they were one.

use super::SnapshotError;
use super::format::Entry;

/// Entries in the order of their keys.
pub(super) type Run<'a> = Box<dyn Iterator<Item = Result<Entry, SnapshotError>> + 'a>;

/// What the newest of several runs has under each key, removals included.
pub(in crate::embedded) struct Merged<'a> {
    /// The newest first, each with its next entry.
    runs: Vec<(Run<'a>, Option<Entry>)>,
}

impl<'a> Merged<'a> {
    /// Of these runs, the newest first.
    pub(super) fn of(runs: Vec<Run<'a>>) -> Result<Self, SnapshotError> {
        let with_first = |mut run: Run<'a>| {
            let first = run.next().transpose()?;
            Ok((run, first))
        };
        Ok(Self { runs: runs.into_iter().map(with_first).collect::<Result<_, _>>()? })
    }

    /// The next entry.
    pub(in crate::embedded) fn next_entry(&mut self) -> Result<Option<Entry>, SnapshotError> {
        let keys = self.runs.iter().filter_map(|(_, next)| Some(next.as_ref()?.key));
        let Some(lowest) = keys.min() else { return Ok(None) };
        let mut newest = None;
        for (run, next) in &mut self.runs {
            if next.as_ref().is_some_and(|entry| entry.key == lowest) {
                let entry = std::mem::replace(next, run.next().transpose()?);
                newest = newest.or(entry);
            }
        }
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{Key, Kind, Subject};
    use onceward_core::domain::{ServiceId, Timestamp};

    proptest! {
        #[test]
        fn what_is_read_is_what_the_newest_has(
            runs in prop::collection::vec(prop::collection::btree_map(0_u64..40, any::<bool>(), 0..30), 0..6),
        ) {
            let mut expected = BTreeMap::new();
            // Newer ones write over older ones, and the newest comes first.
            for (age, run) in runs.iter().enumerate().rev() {
                expected.extend(run.iter().map(|(subject, put)| (*subject, (age, *put))));
            }
            let as_run = |(age, run): (usize, BTreeMap<u64, bool>)| -> Run<'static> {
                Box::new(run.into_iter().map(move |(subject, put)| Ok(entry(subject, age, put))))
            };
            let mut merged = Merged::of(runs.into_iter().enumerate().map(as_run).collect()).unwrap();
            for (subject, (age, put)) in expected {
                prop_assert_eq!(merged.next_entry().unwrap(), Some(entry(subject, age, put)));
            }
            prop_assert_eq!(merged.next_entry().unwrap(), None);
        }
    }

    #[test]
    fn when_a_run_cannot_be_read_to_its_end_the_end_of_what_is_read_is_an_error() {
        let broken = || SnapshotError::Failed("broken".into());
        let runs: Vec<Run<'_>> = vec![
            Box::new([Ok(entry(1, 0, true)), Ok(entry(4, 0, true))].into_iter()),
            Box::new([Ok(entry(2, 1, true)), Err(broken())].into_iter()),
        ];
        let mut merged = Merged::of(runs).unwrap();
        assert_eq!(merged.next_entry().unwrap().map(|entry| entry.key.subject.0), Some(1));
        assert!(merged.next_entry().is_err(), "what comes behind 2 may be before 4");
        let first_is_broken: Vec<Run<'_>> = vec![Box::new([Err(broken())].into_iter())];
        assert!(Merged::of(first_is_broken).is_err());
    }

    fn entry(subject: u64, age: usize, put: bool) -> Entry {
        let key = Key { kind: Kind::Number, service: ServiceId::DEFAULT, subject: Subject(subject) };
        let put = put.then(|| Bytes::from_static(b"record"));
        Entry { key, sequence: age as u64, gc_after: Timestamp::EPOCH, put }
    }
}
