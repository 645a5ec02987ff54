//! The store's answers, and the content that it may therefore have after a power cut.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::store_load::ends;
use super::trace::Place;

/// A key and its version; `None` if it was removed.
pub type Version = (u64, Option<u64>);

#[derive(Debug, Serialize, Deserialize)]
pub enum Note {
    /// The load gives these to the store.
    Asked { write: u64, at: Place, versions: Vec<Version> },
    /// The store said that they are durable.
    Answered { write: u64, at: Place },
    /// A store showed these when it opened, and nothing else.
    Shown { at: Place, versions: Vec<Version> },
}

pub struct Notes(Mutex<File>);

impl Notes {
    pub fn append_to(path: &Path) -> Self {
        Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path).expect("notes")))
    }

    /// The note is in the file before the load continues.
    pub fn add(&self, note: &Note) {
        let line = serde_json::to_string(note).expect("text") + "\n";
        self.0.lock().unwrap().write_all(line.as_bytes()).expect("noted");
    }
}

#[derive(Debug)]
pub struct Promises {
    notes: Vec<Note>,
    /// When the writes were answered, by the index of the note about the write.
    answered: HashMap<usize, Place>,
}

impl Promises {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("notes");
        // A kill may cut the last line short.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let notes: Vec<Note> = lines.map(|line| serde_json::from_str(line).expect("a note")).collect();
        let (mut asked, mut answered) = (HashMap::new(), HashMap::new());
        for (index, note) in notes.iter().enumerate() {
            match note {
                // A process may use the numbers of one that was killed before.
                Note::Asked { write, .. } => drop(asked.insert(write, index)),
                Note::Answered { write, at } => drop(answered.insert(asked[write], *at)),
                Note::Shown { .. } => {}
            }
        }
        Self { notes, answered }
    }

    /// The content that may exist after a cut at this place.
    pub fn at(&self, cut: Place) -> Possible {
        let mut possible = BTreeMap::<u64, Vec<Option<u64>>>::new();
        for (index, note) in self.notes.iter().enumerate() {
            match note {
                Note::Asked { at, versions, .. } if *at <= cut => {
                    let sure = self.answered.get(&index).is_some_and(|at| *at <= cut);
                    for (key, version) in versions {
                        let of_key = possible.entry(*key).or_insert_with(|| vec![None]);
                        if sure {
                            of_key.clear();
                        }
                        of_key.push(*version);
                    }
                }
                Note::Shown { at, versions } if *at <= cut => {
                    Possible(possible).allows(versions).expect("what a store shows when it opens");
                    possible = versions.iter().map(|(key, version)| (*key, vec![*version])).collect();
                }
                _ => {}
            }
        }
        Possible(possible)
    }
}

/// The possible versions of each key; other keys have none. A version that ends may be gone, but an earlier one may not
/// come back.
#[derive(Debug, Default, Clone)]
pub struct Possible(BTreeMap<u64, Vec<Option<u64>>>);

impl Possible {
    /// Checks that these are possible; the error says what is wrong.
    pub fn allows(&self, found: &[Version]) -> Result<(), String> {
        let found: BTreeMap<u64, Option<u64>> = found.iter().copied().collect();
        let wrong = |key: &u64, version: Option<u64>| {
            let allowed = self.0.get(key).cloned().unwrap_or_else(|| vec![None]);
            let ended = version.is_none() && allowed.iter().flatten().any(|version| ends(*key, *version));
            (!ended && !allowed.contains(&version))
                .then(|| format!("key {key}: {version:?} is there, not one of {allowed:?}"))
        };
        let of_found = found.iter().filter_map(|(key, version)| wrong(key, *version));
        let missing = self.0.keys().filter(|key| !found.contains_key(key)).filter_map(|key| wrong(key, None));
        let all: Vec<String> = of_found.chain(missing).collect();
        if all.is_empty() { Ok(()) } else { Err(format!("{} wrong, such as {}", all.len(), all[0])) }
    }
}
