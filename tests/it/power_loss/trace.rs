//! Reads the shim's trace.

use std::fs;
use std::path::{Path, PathBuf};

/// One thing that a program did to its files. Inode numbers name files until they are made anew.
#[derive(Debug, Clone)]
pub enum Event {
    /// A directory that was there when the process started. The root's parent is 0.
    HasDir { parent: u64, ino: u64, name: String },
    /// A file that was there, and its length.
    HasFile { parent: u64, ino: u64, bytes: u64, name: String },
    /// Some of what was in it.
    HasData { ino: u64, at: u64, data: Vec<u8> },
    /// That was all.
    HasAll,
    /// A new, empty file.
    Create { parent: u64, ino: u64, name: String },
    /// A new directory.
    MakeDir { parent: u64, ino: u64, name: String },
    /// A name went.
    Unlink { parent: u64, name: String },
    /// A name changed, and took the place of whatever had the new one.
    Rename { from: u64, to: u64, old: String, new: String },
    /// One more name for a file.
    Link { parent: u64, ino: u64, name: String },
    /// Bytes were written to a file that was `before` long.
    Write { ino: u64, at: u64, before: u64, data: Vec<u8> },
    /// A file was given this length.
    Size { ino: u64, bytes: u64 },
    /// A sync of a file of this length, or of a directory, began.
    SyncBegin { ino: u64, token: u64, bytes: u64 },
    /// It succeeded.
    SyncEnd { ino: u64, token: u64 },
    /// `sync_file_range`, which is no sync.
    Nothing,
}

/// A place in the traces of processes that ran one after another: which process, and how many bytes
/// of its trace there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Which process.
    pub process: u64,
    /// Bytes of its trace.
    pub bytes: u64,
}

impl Place {
    /// Where the newest trace in `traces` ends now. Whatever was answered before is noted before it.
    pub fn now(traces: &Path) -> Self {
        let length = |process: &u64| fs::metadata(traces.join(process.to_string())).ok();
        (0..)
            .map_while(|process| Some(Self { process, bytes: length(&process)?.len() }))
            .last()
            .unwrap_or_default()
    }
}

/// All events, each with the place behind it.
pub fn read(traces: &Path) -> Vec<(Place, Event)> {
    let mut events = Vec::new();
    for process in 0.. {
        let path: PathBuf = traces.join(process.to_string());
        let Ok(bytes) = fs::read(&path) else { break };
        let mut rest = bytes.as_slice();
        // What is cut off at the end was noted while the process was killed.
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
    let event = match short(0) {
        1 => Event::HasDir { parent: ino, ino: a, name },
        2 => Event::HasFile { parent: ino, ino: a, bytes: b, name },
        3 => Event::HasData { ino, at: a, data },
        4 => Event::HasAll,
        5 => Event::Create { parent: ino, ino: a, name },
        6 => Event::MakeDir { parent: ino, ino: a, name },
        7 => Event::Unlink { parent: ino, name },
        8 => {
            let (old, new) = name.split_once('/').expect("two names");
            Event::Rename { from: ino, to: a, old: old.into(), new: new.into() }
        }
        9 => Event::Link { parent: ino, ino: a, name },
        10 => Event::Write { ino, at: a, before: b, data },
        11 => Event::Size { ino, bytes: b },
        12 => Event::SyncBegin { ino, token: a, bytes: b },
        13 => Event::SyncEnd { ino, token: a },
        14 => Event::Nothing,
        other => panic!("the shim noted an event of kind {other}"),
    };
    Some((event, rest))
}
