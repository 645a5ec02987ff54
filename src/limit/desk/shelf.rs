//! The records of a desk in memory, and what a batch is about to make of them.

use indexmap::IndexMap;

use super::Book;
use crate::domain::Timestamp;
use crate::store::{Key, Revision};

/// Records that are looked at for an ended one before a new one is refused.
const LOOK_FOR_ROOM: usize = 32;

/// What is durable, as far as is known.
pub struct Shelf<B: Book> {
    entries: IndexMap<Key, Entry<B::Page>>,
    most: usize,
    most_bytes: usize,
    bytes: usize,
    /// Where the sweep goes on.
    next: usize,
}

/// One record.
#[derive(Clone)]
pub struct Entry<P> {
    pub page: P,
    pub revision: Revision,
    /// Its last write may have been applied or not: it is written again before anybody is told of it.
    pub unsettled: bool,
}

/// What a batch does to one record.
pub struct Step<P> {
    /// The revision the decision is made on.
    pub before: Revision,
    /// What it says then; `None` for nothing.
    pub page: Option<P>,
    /// What to assume if nobody knows whether the commit was applied.
    pub strict: Option<P>,
    was_there: bool,
}

/// The steps of a batch, in the order in which they came up.
pub struct Steps<P> {
    pub by_key: IndexMap<Key, Step<P>>,
    /// Records among them that were not there before.
    new: usize,
}

impl<P> Default for Steps<P> {
    fn default() -> Self {
        Self { by_key: IndexMap::new(), new: 0 }
    }
}

impl<B: Book> Shelf<B> {
    /// An empty one for so many records and so many bytes.
    pub fn with_room_for(most: usize, most_bytes: usize) -> Self {
        Self { entries: IndexMap::new(), most, most_bytes, bytes: 0, next: 0 }
    }

    /// Takes over what the store has.
    pub fn set(&mut self, key: Key, entry: Option<Entry<B::Page>>) {
        self.bytes += entry.as_ref().map_or(0, |entry| B::weight(&entry.page));
        let before = match entry {
            Some(entry) => self.entries.insert(key, entry),
            None => self.entries.swap_remove(&key),
        };
        self.bytes -= before.map_or(0, |entry| B::weight(&entry.page));
    }

    /// What it has of this key.
    pub fn entry(&self, key: &Key) -> Option<&Entry<B::Page>> {
        self.entries.get(key)
    }

    /// Whether its last write may or may not have been applied.
    pub fn is_unsettled(&self, key: &Key) -> bool {
        self.entry(key).is_some_and(|entry| entry.unsettled)
    }

    /// How many records there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Frees the ended ones among the next `looks` records that `spared` does not spare.
    pub fn sweep(&mut self, looks: usize, now: Timestamp, spared: impl Fn(&Key) -> bool) {
        for _ in 0..looks.min(self.entries.len()) {
            if self.next >= self.entries.len() {
                self.next = 0;
            }
            let Some((key, entry)) = self.entries.get_index(self.next) else { return };
            if B::ends(&entry.page) <= now && !spared(key) {
                let key = *key;
                self.set(key, None);
            } else {
                self.next += 1;
            }
        }
    }
}

impl<P: Clone> Steps<P> {
    /// Writes the record again as it is.
    pub fn write_again(&mut self, key: Key, entry: &Entry<P>) {
        let page = Some(entry.page.clone());
        let strict = page.clone();
        let step = || Step { before: entry.revision, page, strict, was_there: true };
        self.by_key.entry(key).or_insert_with(step);
    }
}

/// What a decision sees and changes: the records as they will be when the batch is durable.
pub struct Pages<'a, B: Book> {
    shelf: &'a mut Shelf<B>,
    steps: &'a mut Steps<B::Page>,
    now: Timestamp,
}

impl<'a, B: Book> Pages<'a, B> {
    /// Of a batch that is being decided at `now`.
    pub fn new(shelf: &'a mut Shelf<B>, steps: &'a mut Steps<B::Page>, now: Timestamp) -> Self {
        Self { shelf, steps, now }
    }

    /// What the record says, if it has not ended.
    pub fn page(&self, key: &Key) -> Option<&B::Page> {
        let page = match self.steps.by_key.get(key) {
            Some(step) => step.page.as_ref(),
            None => self.shelf.entry(key).map(|entry| &entry.page),
        };
        self.alive(page)
    }

    /// What to assume of it if the batch may or may not be applied, so far.
    pub fn strict(&self, key: &Key) -> Option<&B::Page> {
        match self.steps.by_key.get(key) {
            Some(step) => self.alive(step.strict.as_ref()),
            None => self.page(key),
        }
    }

    fn alive<'p>(&self, page: Option<&'p B::Page>) -> Option<&'p B::Page> {
        page.filter(|page| self.now < B::ends(page))
    }

    /// The record will say `page`; `strict` is what to assume if nobody knows whether it does.
    pub fn put(&mut self, key: Key, page: Option<B::Page>, strict: Option<B::Page>) {
        let entry = self.shelf.entry(&key);
        let step = self.steps.by_key.entry(key).or_insert_with(|| Step {
            before: entry.map_or(Revision::ABSENT, |entry| entry.revision),
            page: None,
            strict: None,
            was_there: entry.is_some(),
        });
        if !step.was_there {
            self.steps.new = self.steps.new + usize::from(page.is_some()) - usize::from(step.page.is_some());
        }
        step.page = page;
        step.strict = strict;
    }

    /// Whether those of `keys` that are not there yet can be added, and `reserved` more. Looks for ended records first.
    pub fn has_room_for(&mut self, keys: &[Key], reserved: usize) -> bool {
        let there = |key: &&Key| match self.steps.by_key.get(*key) {
            Some(step) => step.was_there || step.page.is_some(),
            None => self.shelf.entry(key).is_some(),
        };
        let wanted = keys.iter().filter(|key| !there(key)).count() + reserved;
        if wanted == 0 {
            return true;
        }
        self.fits(wanted) || {
            let steps = &self.steps.by_key;
            self.shelf.sweep(LOOK_FOR_ROOM, self.now, |key| steps.contains_key(key) || keys.contains(key));
            self.fits(wanted)
        }
    }

    fn fits(&self, wanted: usize) -> bool {
        let Shelf { entries, most, bytes, most_bytes, .. } = &*self.shelf;
        entries.len() + self.steps.new + wanted <= *most && bytes < most_bytes
    }
}
