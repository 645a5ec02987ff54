//! The shim that traces a program's changes to its files, and what it noted.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::support::prelude::*;

/// A temporary directory, in memory if there is room: the cuts are made in the model, and a real disk would only be
/// slower.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail * found.f_frsize);
    let in_memory = (free >= ROOM).then(|| tempfile::tempdir_in(memory)).and_then(Result::ok);
    in_memory.unwrap_or_else(|| tempfile::tempdir().expect("make a directory for the test"))
}

/// The size of the largest data directory of these tests, with a reserve.
const ROOM: u64 = 64 * 1024 * 1024;

/// A program's home, which the shim watches, and next to it the traces.
pub struct Watched {
    place: TempDir,
    shim: PathBuf,
}

impl Watched {
    pub fn new() -> Self {
        let place = tempfile::tempdir().expect("make a directory for the test");
        for name in ["home", "traces"] {
            std::fs::create_dir(place.path().join(name)).expect("make a directory");
        }
        // Made now: later it could get the inode number of a file that the shim has watched and the store has removed.
        std::fs::write(place.path().join("promises"), "").expect("make a file");
        Self { place, shim: compiled("power-shim", include_str!("shim.c")) }
    }

    pub fn home(&self) -> PathBuf {
        self.place.path().join("home")
    }

    pub fn traces(&self) -> PathBuf {
        self.place.path().join("traces")
    }

    pub fn promises(&self) -> PathBuf {
        self.place.path().join("promises")
    }

    /// The environment that makes the shim trace a program.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let own = [("POWER_ROOT", self.home()), ("POWER_TRACE", self.traces())];
        preloads(&self.shim).into_iter().chain(own).collect()
    }

    /// The shim traces this setup's program.
    pub fn setup(&self, setup: Setup) -> Setup {
        let home = setup.home().to_owned();
        let environment = self.environment().into_iter().chain([("POWER_ROOT", home)]);
        environment.fold(setup, |setup, (name, value)| setup.env(name, value.to_str().expect("a plain path")))
    }
}

/// A name in a directory, and the file or the directory that it leads to. An inode number identifies a file until it is
/// used again.
#[derive(Debug, Clone)]
pub struct Entry {
    pub parent: u64,
    pub ino: u64,
    pub name: String,
}

/// A change that a program made to its files.
#[derive(Debug, Clone)]
pub enum Event {
    /// A directory that existed when the process started. The root's parent is 0.
    HasDir(Entry),
    /// A file that existed when the process started, and its length.
    HasFile(Entry, u64),
    /// Part of its content.
    HasData {
        ino: u64,
        at: u64,
        data: Vec<u8>,
    },
    /// The end of the list.
    HasAll,
    Create(Entry),
    MakeDir(Entry),
    /// One more name for a file.
    Link(Entry),
    Unlink {
        parent: u64,
        name: String,
    },
    /// A rename, which replaces any file with the new name.
    Rename {
        from: u64,
        to: u64,
        old: String,
        new: String,
    },
    /// A write to a file whose length was `before`.
    Write {
        ino: u64,
        at: u64,
        before: u64,
        data: Vec<u8>,
    },
    Size {
        ino: u64,
        bytes: u64,
    },
    /// A sync of a file of this length, or of a directory, began.
    SyncBegin {
        ino: u64,
        token: u64,
        bytes: u64,
    },
    SyncEnd {
        ino: u64,
        token: u64,
    },
    /// `sync_file_range`, which is no sync.
    Nothing,
}

/// A place in the traces of successive processes: the process, and the number of bytes in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Place {
    pub process: u64,
    pub bytes: u64,
}

impl Place {
    /// The current end of the newest trace. Everything that was answered before is noted before it.
    pub fn now(traces: &Path) -> Self {
        let length = |process: &u64| fs::metadata(traces.join(process.to_string())).ok();
        (0..)
            .map_while(|process| Some(Self { process, bytes: length(&process)?.len() }))
            .last()
            .unwrap_or_default()
    }
}

/// All events, each with the place after it.
pub fn read(traces: &Path) -> Vec<(Place, Event)> {
    let mut events = Vec::new();
    for process in 0.. {
        let Ok(bytes) = fs::read(traces.join(process.to_string())) else { break };
        let mut rest = bytes.as_slice();
        // A kill may cut the last event short.
        while let Some((event, after)) = one(rest) {
            rest = after;
            events.push((Place { process, bytes: (bytes.len() - rest.len()) as u64 }, event));
        }
    }
    assert!(!events.is_empty(), "the shim noted nothing: was it preloaded?");
    events
}

fn one(bytes: &[u8]) -> Option<(Event, &[u8])> {
    let (head, rest) = bytes.split_at_checked(40)?;
    let short = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
    let (ino, a, b) = (long(16), long(24), long(32));
    let (name, rest) = rest.split_at_checked(short(4) as usize)?;
    let (data, rest) = rest.split_at_checked(usize::try_from(long(8)).unwrap())?;
    let name = String::from_utf8(name.to_vec()).expect("names are plain");
    let data = data.to_vec();
    let entry = |name| Entry { parent: ino, ino: a, name };
    let event = match short(0) {
        1 => Event::HasDir(entry(name)),
        2 => Event::HasFile(entry(name), b),
        3 => Event::HasData { ino, at: a, data },
        4 => Event::HasAll,
        5 => Event::Create(entry(name)),
        6 => Event::MakeDir(entry(name)),
        7 => Event::Unlink { parent: ino, name },
        8 => {
            let (old, new) = name.split_once('/').expect("two names");
            Event::Rename { from: ino, to: a, old: old.into(), new: new.into() }
        }
        9 => Event::Link(entry(name)),
        10 => Event::Write { ino, at: a, before: b, data },
        11 => Event::Size { ino, bytes: b },
        12 => Event::SyncBegin { ino, token: a, bytes: b },
        13 => Event::SyncEnd { ino, token: a },
        14 => Event::Nothing,
        other => panic!("the shim noted an event of kind {other}"),
    };
    Some((event, rest))
}
