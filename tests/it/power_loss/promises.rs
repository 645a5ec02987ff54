//! The store's answers, and the content that it may therefore have after a power cut.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use super::store_load::ends;
use super::trace::Place;

/// A key and its version; `None` if it was removed.
pub type Version = (u64, Option<u64>);

/// Takes notes while a load runs. Each note is in the file before the load continues.
pub struct Notes(Mutex<File>);

impl Notes {
    pub fn append_to(path: &Path) -> Self {
        Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path).expect("notes")))
    }

    /// The load gives these to the store.
    pub fn asked(&self, write: u64, at: Place, versions: &[Version]) {
        self.line('W', write, at, versions);
    }

    /// The store said that they are durable.
    pub fn answered(&self, write: u64, at: Place) {
        self.line('A', write, at, &[]);
    }

    /// A store showed these when it opened, and nothing else.
    pub fn shown(&self, at: Place, versions: &[Version]) {
        self.line('S', 0, at, versions);
    }

    fn line(&self, what: char, write: u64, at: Place, versions: &[Version]) {
        let mut line = format!("{what} {write} {} {}", at.process, at.bytes);
        for (key, version) in versions {
            write!(line, " {key}:{}", version.unwrap_or(0)).expect("text");
        }
        line.push('\n');
        self.0.lock().unwrap().write_all(line.as_bytes()).expect("noted");
    }
}

#[derive(Debug)]
enum Note {
    Asked { at: Place, answered: Option<Place>, versions: Vec<Version> },
    Shown { at: Place, versions: Vec<Version> },
}

#[derive(Debug, Default)]
pub struct Promises(Vec<Note>);

impl Promises {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("notes");
        let (mut notes, mut asked) = (Vec::new(), HashMap::new());
        // A kill may cut the last line short.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let mut words = line.split_whitespace();
            let what = words.next().expect("a word");
            let mut number = || -> u64 { words.next().expect("a number").parse().expect("a number") };
            let (write, at) = (number(), Place { process: number(), bytes: number() });
            let version = |word: &str| -> Version {
                let (key, version) = word.split_once(':').expect("a key and a version");
                (key.parse().expect("a key"), Some(version.parse().expect("a version")).filter(|v| *v > 0))
            };
            let versions = words.map(version).collect();
            match what {
                "W" => {
                    asked.insert(write, notes.len());
                    notes.push(Note::Asked { at, answered: None, versions });
                }
                "A" => {
                    let Note::Asked { answered, .. } = &mut notes[asked[&write]] else { panic!("{line}") };
                    *answered = Some(at);
                }
                _ => notes.push(Note::Shown { at, versions }),
            }
        }
        Self(notes)
    }

    /// The content that may exist after a cut at this place.
    pub fn at(&self, cut: Place) -> Possible {
        self.on_top_of(Possible::default(), cut)
    }

    /// The same for a load that began on the content `before`.
    pub fn on_top_of(&self, before: Possible, cut: Place) -> Possible {
        let mut possible = before.0;
        for note in &self.0 {
            match note {
                Note::Asked { at, answered, versions } if *at <= cut => {
                    let sure = answered.is_some_and(|at| at <= cut);
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
