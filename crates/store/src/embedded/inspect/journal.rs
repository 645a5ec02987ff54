//! A look at every change set of the journal that does not end at the first one that is damaged.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::error::OpenError;
use super::super::frame::{self, Frame, FrameKind};
use super::super::segment::{self, HEADER_BYTES, Header};
use super::super::snapshot::Covered;
use super::super::{extent, replay};
use super::examine::Examined;
use super::finding::{Finding, OLDER, RESTORE, TELL_APART};
use crate::Entry;

/// Looks at the segments that a start would read.
pub(super) struct Look<'a> {
    pub(super) examined: &'a mut Examined,
    /// What is wrong with a record.
    pub(super) judge: &'a dyn Fn(&Entry) -> Result<(), String>,
    /// Receives what is wrong.
    pub(super) found: &'a mut dyn FnMut(Finding),
    /// The last segment that the snapshot covers; `None` if that is not known.
    covered: Option<u64>,
    /// The change set that is to come next; `None` before the first if that is not known.
    expected: Option<u64>,
    /// A segment whose end cannot be read, which is no damage in the last one.
    open_end: Option<(PathBuf, u64, u64)>,
}

impl<'a> Look<'a> {
    pub(super) fn new(
        examined: &'a mut Examined,
        judge: &'a dyn Fn(&Entry) -> Result<(), String>,
        found: &'a mut dyn FnMut(Finding),
        covered: Option<Covered>,
    ) -> Self {
        let expected = covered.map(|covered| covered.sequence + 1);
        let covered = covered.map(|covered| covered.segment);
        Self { examined, judge, found, covered, expected, open_end: None }
    }

    /// Looks at all of them, and says nothing of whether something was found to be wrong.
    pub(super) fn at(mut self, journal: &Path) -> Result<(), OpenError> {
        let covered = self.covered.unwrap_or_default();
        let mut numbers = replay::numbers(journal)?;
        numbers.retain(|number| self.covered.is_none() || *number > covered);
        // What is to follow the snapshot; without one, whatever is there is the first.
        let mut next = self.covered.map_or_else(|| numbers.first().copied().unwrap_or(1), |last| last + 1);
        if numbers.is_empty() {
            self.missing(journal, next, next);
        }
        for number in numbers {
            if number > next {
                self.missing(journal, next, number - 1);
            }
            next = number + 1;
            let path = segment::path(journal, number);
            let mut bytes = Vec::new();
            let read =
                File::open(&path).and_then(|mut file| extent::read_written_part(&mut file, &mut bytes));
            match read {
                Ok(()) => self.segment(&path, number, &bytes),
                Err(error) => self.wrong(&path, None, format!("it cannot be read: {error}")),
            }
        }
        if let Some((path, at, bytes)) = self.open_end.take() {
            self.examined.torn = Some((path, at, bytes));
        }
        Ok(())
    }

    fn segment(&mut self, path: &Path, number: u64, bytes: &[u8]) {
        let begin = match Header::decode(bytes) {
            Some(header) if header.number == number => HEADER_BYTES,
            Some(header) => {
                let what = format!("it is segment {} under the name of another", header.number);
                self.wrong(path, Some(0), what);
                HEADER_BYTES
            }
            None => {
                let Some((at, _)) = frame::find(bytes, 0, 0) else {
                    // Never written to, or what is left of a first write that nobody was told of.
                    let left = without_zeros_behind(bytes);
                    if left > 0 && self.open_end.is_none() {
                        self.open_end = Some((path.to_owned(), 0, left));
                    }
                    return;
                };
                let what = format!("its header cannot be read, but there is a change set at byte {at}");
                self.wrong(path, Some(0), what);
                at
            }
        };
        if let Some((path, at, _)) = self.open_end.take() {
            self.wrong(
                &path,
                usize::try_from(at).ok(),
                "what is here cannot be read, and a later segment goes on behind it".into(),
            );
        }
        if self.expected.is_none() {
            self.expected = Header::decode(bytes).map(|header| header.first_sequence);
        }
        self.examined.segments += 1;
        self.frames(path, bytes, begin);
    }

    fn frames(&mut self, path: &Path, bytes: &[u8], mut at: usize) {
        loop {
            if let Some(frame) = frame::decode(&bytes[at..]) {
                self.frame(path, at, &frame);
                at += frame.bytes;
                continue;
            }
            let Some((next, frame)) = frame::find(bytes, at, self.expected.unwrap_or_default()) else {
                let left = without_zeros_behind(&bytes[at..]);
                if left > 0 {
                    self.open_end = Some((path.to_owned(), at as u64, left));
                }
                return;
            };
            let found = frame.sequence;
            let expected = self.expected.unwrap_or(found);
            let what = format!(
                "what is here cannot be read: change set {expected} should be, and change set {found} comes at byte {next}"
            );
            self.wrong(path, Some(at), what);
            self.expected = Some(found);
            at = next;
        }
    }

    fn frame(&mut self, path: &Path, at: usize, frame: &Frame<'_>) {
        if let Some(expected) = self.expected.filter(|expected| *expected != frame.sequence) {
            let what = format!("change set {} is here, and {expected} should be", frame.sequence);
            self.wrong(path, Some(at), what);
        }
        self.expected = frame.sequence.checked_add(1);
        self.examined.change_sets += 1;
        self.examined.closed_in_order = frame.kind == FrameKind::Closed;
        self.examined.oldest = Some(self.examined.oldest.map_or(frame.time, |oldest| oldest.min(frame.time)));
        self.examined.newest = self.examined.newest.max(Some(frame.time));
        let Some(records) = frame.records() else {
            let what = format!("change set {} has records that this program cannot read", frame.sequence);
            return self.wrong(path, Some(at), what);
        };
        for record in records {
            self.examined.journal_records += 1;
            let Some(put) = record.put else { continue };
            let entry =
                Entry { key: record.key, gc_after: record.gc_after, record: Bytes::copy_from_slice(put) };
            if let Err(what) = (self.judge)(&entry) {
                let what = format!("in change set {}, {what}", frame.sequence);
                self.wrong(path, Some(at), what);
            }
        }
    }

    /// Those with the numbers from `first` to `last` are not there. At the front of the journal that has two causes.
    fn missing(&mut self, journal: &Path, first: u64, last: u64) {
        let at_the_front =
            self.examined.segments == 0 && self.covered.is_none_or(|covered| covered + 1 == first);
        let (mut what, advice) = if at_the_front {
            (OLDER.to_owned(), TELL_APART)
        } else {
            ("it is missing, and with it changes that were acknowledged".to_owned(), RESTORE)
        };
        if last > first {
            what = format!("{what}; so are the others up to number {last}");
        }
        (self.found)(Finding::new(&segment::path(journal, first), what, advice));
    }

    fn wrong(&mut self, path: &Path, at: Option<usize>, what: String) {
        let at = at.map(|at| at as u64);
        (self.found)(Finding { path: path.to_owned(), at, what, advice: RESTORE });
    }
}

/// How many bytes there are up to the last that is not zero.
fn without_zeros_behind(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}
