//! The bytes of one file, in pages: reserved space and copies cost nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The unit that a disk writes atomically.
const SECTOR: u64 = 512;
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
    pub fn length_after(length: u64, change: &Change) -> u64 {
        match change {
            Change::Write(at, data) => length.max(at + data.len() as u64),
            Change::Length(length) => *length,
        }
    }

    /// Makes a change in some sectors only, and never changes the length.
    pub fn make_where(&mut self, change: &Change, mut wanted: impl FnMut(u64) -> bool) {
        match change {
            Change::Write(at, data) => self.fill(*at..at + data.len() as u64, Some(data), &mut wanted),
            Change::Length(length) => {
                let pages: Vec<u64> =
                    self.pages.range(length / PAGE..).map(|(page, _)| page * PAGE).collect();
                for page in pages {
                    self.fill(page.max(*length)..page + PAGE, None, &mut wanted);
                }
            }
        }
    }

    /// Fills the wanted sectors of a range with data or with zeros.
    fn fill(&mut self, range: Range<u64>, data: Option<&[u8]>, wanted: &mut impl FnMut(u64) -> bool) {
        let mut begin = range.start;
        while begin < range.end {
            let sector = begin / SECTOR;
            let end = range.end.min((sector + 1) * SECTOR);
            if wanted(sector) {
                let page = self.pages.entry(begin / PAGE).or_insert_with(|| Arc::new(vec![0; index(PAGE)]));
                let base = begin / PAGE * PAGE;
                let bytes = &mut Arc::make_mut(page)[index(begin - base)..index(end - base)];
                match data {
                    Some(data) => {
                        bytes.copy_from_slice(&data[index(begin - range.start)..index(end - range.start)]);
                    }
                    None => bytes.fill(0),
                }
            }
            begin = end;
        }
    }

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

    pub fn changes_to(&self, other: &Self) -> Vec<Change> {
        let zeros = Arc::new(vec![0; index(PAGE)]);
        let mut changes = Vec::new();
        let pages: BTreeSet<u64> = self.pages.keys().chain(other.pages.keys()).copied().collect();
        for page in pages {
            let length = index(PAGE.min(other.length.saturating_sub(page * PAGE)));
            let [old, new] = [self, other].map(|of| &of.pages.get(&page).unwrap_or(&zeros)[..length]);
            if old != new {
                changes.push(Change::Write(page * PAGE, Arc::new(new.to_vec())));
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
