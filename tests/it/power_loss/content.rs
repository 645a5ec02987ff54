//! The bytes of one file, in pages: reserved space and copies cost nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The unit that a disk writes atomically.
pub const SECTOR: u64 = 512;
const PAGE: u64 = 4096;

/// A file's bytes. A missing page is zeros.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pub length: u64,
    pages: BTreeMap<u64, Arc<Vec<u8>>>,
}

#[derive(Debug, Clone)]
pub enum Change {
    /// Bytes at a place; the file grows if necessary.
    Write(u64, Arc<Vec<u8>>),
    /// Another length. Bytes beyond it become zeros.
    Length(u64),
}

impl Content {
    pub fn make(&mut self, change: &Change) {
        self.make_where(change, |_| true);
        self.length = Self::length_after(self.length, change);
    }

    /// The length of a file after a change.
    pub fn length_after(length: u64, change: &Change) -> u64 {
        match change {
            Change::Write(at, data) => length.max(at + data.len() as u64),
            Change::Length(length) => *length,
        }
    }

    /// Makes a change in some sectors only, and never changes the length.
    pub fn make_where(&mut self, change: &Change, mut wanted: impl FnMut(u64) -> bool) {
        match change {
            Change::Write(at, data) => self.write(*at, data, wanted),
            Change::Length(length) => {
                let from = length / PAGE;
                let pages: Vec<u64> = self.pages.range(from..).map(|(page, _)| *page).collect();
                for page in pages {
                    for sector in page * PAGE / SECTOR..(page + 1) * PAGE / SECTOR {
                        let begin = (sector * SECTOR).max(*length);
                        let end = (sector + 1) * SECTOR;
                        if begin < end && wanted(sector) {
                            self.fill(begin, end);
                        }
                    }
                }
            }
        }
    }

    fn fill(&mut self, begin: u64, end: u64) {
        if let Some(page) = self.pages.get_mut(&(begin / PAGE)) {
            let base = begin / PAGE * PAGE;
            Arc::make_mut(page)[index(begin - base)..index(end - base)].fill(0);
        }
    }

    fn write(&mut self, at: u64, data: &[u8], mut wanted: impl FnMut(u64) -> bool) {
        let end = at + data.len() as u64;
        let mut begin = at;
        while begin < end {
            let sector = begin / SECTOR;
            let stop = end.min((sector + 1) * SECTOR);
            if wanted(sector) {
                let base = begin / PAGE * PAGE;
                let page = self.pages.entry(begin / PAGE).or_insert_with(|| Arc::new(vec![0; index(PAGE)]));
                Arc::make_mut(page)[index(begin - base)..index(stop - base)]
                    .copy_from_slice(&data[index(begin - at)..index(stop - at)]);
            }
            begin = stop;
        }
    }

    /// Writes this content to a file.
    pub fn put_into(&self, file: &File) -> io::Result<()> {
        file.set_len(self.length)?;
        for (page, bytes) in &self.pages {
            let at = page * PAGE;
            let bytes = &bytes[..index(PAGE.min(self.length.saturating_sub(at)))];
            if bytes.iter().any(|byte| *byte != 0) {
                file.write_all_at(bytes, at)?;
            }
        }
        Ok(())
    }

    /// The changes that turn this content into `other`.
    pub fn changes_to(&self, other: &Self) -> Vec<Change> {
        let zeros = Arc::new(vec![0; index(PAGE)]);
        let mut changes = Vec::new();
        let pages: std::collections::BTreeSet<u64> =
            self.pages.keys().chain(other.pages.keys()).copied().collect();
        for page in pages {
            let (old, new) =
                (self.pages.get(&page).unwrap_or(&zeros), other.pages.get(&page).unwrap_or(&zeros));
            let length = PAGE.min(other.length.saturating_sub(page * PAGE));
            if length > 0 && old[..index(length)] != new[..index(length)] {
                changes.push(Change::Write(page * PAGE, Arc::new(new[..index(length)].to_vec())));
            }
        }
        if self.length != other.length {
            changes.push(Change::Length(other.length));
        }
        changes
    }
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("it fits into memory")
}
