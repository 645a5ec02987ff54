//! Beginnings whose gateway has not answered yet. A message may arrive, and its code be right, before the gateway says that
//! it took it: what is told of the beginning then comes first all the same, and nothing is told of it afterwards.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{PhoneNumber, ServiceId};

type Key = (ServiceId, PhoneNumber);
type Tags = BTreeMap<String, String>;

/// There are no more of them than commands in flight.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<Beginnings>);

#[derive(Default)]
struct Beginnings {
    by_number: HashMap<Key, Vec<Beginning>>,
    next: u64,
}

struct Beginning {
    place: u64,
    tags: Tags,
    /// Verifications of the number that came to their end meanwhile, by their tracks.
    over: Vec<u64>,
}

/// One of them, until it is dropped.
pub(super) struct Begun<'a> {
    all: &'a UnderWay,
    key: Key,
    place: u64,
}

impl UnderWay {
    /// A message is asked for.
    pub(super) fn begin(&self, service: ServiceId, number: PhoneNumber, tags: &Tags) -> Begun<'_> {
        let mut all = self.lock();
        all.next += 1;
        let (key, place) = ((service, number), all.next);
        let beginning = Beginning { place, tags: tags.clone(), over: Vec::new() };
        all.by_number.entry(key).or_default().push(beginning);
        Begun { all: self, key, place }
    }

    /// A verification has come to its end. `tell` is handed the tags of a beginning that is not told yet; nothing else is
    /// told of the number meanwhile.
    pub(super) fn over(&self, key: Key, track: u64, tell: impl FnOnce(Option<&Tags>)) {
        let mut all = self.lock();
        let Some(beginnings) = all.by_number.get_mut(&key) else { return tell(None) };
        for beginning in beginnings.iter_mut() {
            beginning.over.push(track);
        }
        tell(beginnings.first().map(|first| &first.tags));
    }

    fn lock(&self) -> MutexGuard<'_, Beginnings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun<'_> {
    /// The gateway has answered about this verification: tells of it, unless it has come to its end meanwhile.
    pub(super) fn answered(self, track: u64, tell: impl FnOnce()) {
        let all = self.all.lock();
        let of_number = all.by_number.get(&self.key);
        let this = of_number.and_then(|all| all.iter().find(|beginning| beginning.place == self.place));
        if this.is_none_or(|beginning| !beginning.over.contains(&track)) {
            tell();
        }
        // Freed before the drop that locks it again.
        drop(all);
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        let Some(of_number) = all.by_number.get_mut(&self.key) else { return };
        of_number.retain(|beginning| beginning.place != self.place);
        if of_number.is_empty() {
            all.by_number.remove(&self.key);
        }
    }
}
