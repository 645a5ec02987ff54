//! A disk as it may be after a power cut.
//!
//! Synced data is on it: a file's bytes and length after `fsync` or `fdatasync`, a directory's names after the `fsync`
//! of that directory. Of all other data any part may be on it, in any order: single sectors of a write, an older state
//! of a sector than of its neighbour, a length without the bytes, a name that was added or removed. Common file systems
//! keep more; POSIX promises no more. A rename is atomic.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;

use super::trace::{Entry, Event, Place};

/// Names, and the objects that they lead to.
type Entries = BTreeMap<String, usize>;

#[derive(Debug, Clone)]
enum Naming {
    Name(String, usize),
    Unname(String),
    Rename(String, String),
}

/// File content or directory entries.
trait Changeable: Clone {
    type Change;

    fn make(&mut self, change: &Self::Change);
}

/// What is synced, and the later changes, each with the event that made it.
#[derive(Debug, Clone)]
struct Layers<T: Changeable> {
    synced: T,
    changes: Vec<(u64, T::Change)>,
}

impl<T: Changeable + Default> Layers<T> {
    fn empty() -> Self {
        Self { synced: T::default(), changes: Vec::new() }
    }

    fn present(&self) -> T {
        let mut present = self.synced.clone();
        self.changes.iter().for_each(|(_, change)| present.make(change));
        present
    }

    /// A sync that began at this event succeeded.
    fn sync(&mut self, began: u64) {
        let covered = self.changes.partition_point(|(event, _)| *event <= began);
        self.changes.drain(..covered).for_each(|(_, change)| self.synced.make(&change));
    }
}

impl Changeable for Content {
    type Change = Change;

    fn make(&mut self, change: &Change) {
        self.make_where(change, |_| true);
        self.length = Self::length_after(self.length, change);
    }
}

impl Changeable for Entries {
    type Change = Naming;

    fn make(&mut self, naming: &Naming) {
        match naming {
            Naming::Name(name, object) => drop(self.insert(name.clone(), *object)),
            Naming::Unname(name) => drop(self.remove(name)),
            Naming::Rename(old, new) => {
                if let Some(object) = self.remove(old) {
                    self.insert(new.clone(), object);
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Object {
    File(Layers<Content>),
    Dir(Layers<Entries>),
}

impl Object {
    fn file(&mut self) -> &mut Layers<Content> {
        let Self::File(file) = self else { panic!("a file") };
        file
    }

    fn dir(&mut self) -> &mut Layers<Entries> {
        let Self::Dir(dir) = self else { panic!("a directory") };
        dir
    }
}

/// Whether a name belongs to a group of files.
pub type Named = fn(&str) -> bool;

/// All files of a trace, up to one event.
#[derive(Debug, Default, Clone)]
pub struct Disk {
    objects: Vec<Object>,
    by_ino: HashMap<u64, usize>,
    root: Option<usize>,
    events: u64,
    /// The event that each sync in progress began with.
    syncs: HashMap<u64, u64>,
    found: Option<Found>,
    /// Syncs of files with such a name are ignored.
    deaf_to: Option<Named>,
    /// Current names; the root's name is empty.
    names: HashMap<usize, String>,
    /// Removed files. Their inode numbers may be used again.
    gone: HashSet<usize>,
    /// Whether a first process has listed its files, which count as synced.
    begun: bool,
}

/// The files that a process finds when it starts.
#[derive(Debug, Default, Clone)]
struct Found {
    dirs: HashMap<usize, Entries>,
    files: HashMap<usize, Content>,
}

impl Disk {
    pub fn without_syncs_of(named: Named) -> Self {
        Self { deaf_to: Some(named), ..Self::default() }
    }

    /// Applies the events before `event`; returns the place of the last.
    pub fn advance_to(&mut self, event: usize, events: &[(Place, Event)]) -> Place {
        while self.events < event as u64 {
            self.happens(&events[usize::try_from(self.events).expect("an index")].1);
        }
        events[event - 1].0
    }

    pub fn happens(&mut self, event: &Event) {
        self.events += 1;
        match event {
            Event::HasDir(entry) => self.has_dir(entry),
            Event::HasFile(Entry { parent, ino, name }, bytes) => {
                // A killed process made it again, and did not note that any more.
                if self.by_ino.get(ino).is_some_and(|known| self.gone.contains(known)) {
                    self.by_ino.remove(ino);
                }
                let object = self.object(*ino, || Object::File(Layers::empty()));
                let parent = self.by_ino[parent];
                let found = self.found.get_or_insert_default();
                found.dirs.get_mut(&parent).expect("its directory").insert(name.clone(), object);
                found.files.entry(object).or_default().length = *bytes;
            }
            Event::HasData { ino, at, data } => {
                let found = self.found.as_mut().and_then(|found| found.files.get_mut(&self.by_ino[ino]));
                let file = found.expect("a file");
                file.make_where(&Change::Write(*at, Arc::new(data.clone())), |_| true);
            }
            Event::HasAll => self.has_all(),
            Event::Create(entry) => self.make(entry, Object::File(Layers::empty())),
            Event::MakeDir(entry) => self.make(entry, Object::Dir(Layers::empty())),
            Event::Unlink { parent, name } => {
                // Every snapshot has files of the same names.
                let present = self.at(*parent).dir().present();
                // A file with another link stays.
                let last =
                    present.get(name).filter(|gone| present.values().filter(|one| one == gone).count() == 1);
                self.gone.extend(last);
                self.rename_in(*parent, Naming::Unname(name.clone()));
            }
            Event::Link(Entry { parent, ino, name }) => {
                let object = self.by_ino[ino];
                // Keeps the new name: the other one is removed next.
                self.names.insert(object, name.clone());
                self.rename_in(*parent, Naming::Name(name.clone(), object));
            }
            Event::Rename { from, to, old, new } => {
                assert_eq!(from, to, "nothing of ours moves from one directory to another");
                if let Some(object) = self.at(*from).dir().present().get(old) {
                    self.names.insert(*object, new.clone());
                }
                self.rename_in(*from, Naming::Rename(old.clone(), new.clone()));
            }
            Event::Write { ino, at, before, data } => {
                self.has_length(*ino, *before);
                self.change(*ino, Change::Write(*at, Arc::new(data.clone())));
            }
            Event::Size { ino, bytes } => self.change(*ino, Change::Length(*bytes)),
            Event::SyncBegin { ino, token, bytes } => {
                self.has_length(*ino, *bytes);
                self.syncs.insert(*token, self.events);
            }
            Event::SyncEnd { ino, token } => self.synced(*ino, *token),
            Event::Nothing => {}
        }
    }

    fn object(&mut self, ino: u64, new: impl FnOnce() -> Object) -> usize {
        if let Some(known) = self.by_ino.get(&ino) {
            return *known;
        }
        self.objects.push(new());
        self.by_ino.insert(ino, self.objects.len() - 1);
        self.objects.len() - 1
    }

    fn has_dir(&mut self, Entry { parent, ino, name }: &Entry) {
        if *parent == 0 {
            self.syncs.clear();
        }
        let object = self.object(*ino, || Object::Dir(Layers::empty()));
        let parent = self.by_ino.get(parent).copied();
        let found = self.found.get_or_insert_default();
        found.dirs.entry(object).or_default();
        if let Some(parent) = parent {
            found.dirs.get_mut(&parent).expect("its directory").insert(name.clone(), object);
        } else {
            self.names.insert(object, String::new());
            self.root = Some(object);
        }
    }

    fn at(&mut self, ino: u64) -> &mut Object {
        &mut self.objects[self.by_ino[&ino]]
    }

    /// The first process lists what is on the disk. A later one may see changes that an earlier one made just before it
    /// was killed and did not note.
    fn has_all(&mut self) {
        let found = self.found.take().expect("the root at least");
        for (object, content) in found.files {
            let file = self.objects[object].file();
            if self.begun {
                let unseen = file.present().changes_to(&content);
                file.changes.extend(unseen.into_iter().map(|change| (self.events, change)));
            } else {
                file.synced = content;
            }
        }
        for (object, entries) in found.dirs {
            let dir = self.objects[object].dir();
            if !self.begun {
                dir.synced = entries;
                continue;
            }
            let present = dir.present();
            for name in present.keys().filter(|name| !entries.contains_key(*name)) {
                dir.changes.push((self.events, Naming::Unname(name.clone())));
            }
            for (name, child) in entries.iter().filter(|(name, child)| present.get(*name) != Some(child)) {
                dir.changes.push((self.events, Naming::Name(name.clone(), *child)));
            }
        }
        self.begun = true;
    }

    fn make(&mut self, Entry { parent, ino, name }: &Entry, object: Object) {
        self.by_ino.remove(ino);
        let object = self.object(*ino, || object);
        self.names.insert(object, name.clone());
        self.rename_in(*parent, Naming::Name(name.clone(), object));
    }

    fn rename_in(&mut self, parent: u64, naming: Naming) {
        let event = self.events;
        self.at(parent).dir().changes.push((event, naming));
    }

    fn change(&mut self, ino: u64, change: Change) {
        let event = self.events;
        self.at(ino).file().changes.push((event, change));
    }

    /// An unexpected length shows that a call changed it which the shim does not see.
    fn has_length(&mut self, ino: u64, bytes: u64) {
        let Object::File(Layers { synced, changes }) = self.at(ino) else { return };
        let after = |length, (_, change): &(u64, Change)| Content::length_after(length, change);
        let known = changes.iter().fold(synced.length, after);
        if known != bytes {
            self.change(ino, Change::Length(bytes));
        }
    }

    fn synced(&mut self, ino: u64, token: u64) {
        let Some(began) = self.syncs.remove(&token) else { return };
        let name = self.names.get(&self.by_ino[&ino]);
        if self.deaf_to.is_some_and(|deaf| name.is_some_and(|name| deaf(name))) {
            return;
        }
        match self.at(ino) {
            Object::File(file) => file.sync(began),
            Object::Dir(dir) => dir.sync(began),
        }
    }

    /// Creates below `path` what the disk may hold if the power fails now.
    pub fn cut_into(&self, path: &Path, rng: &mut StdRng) {
        self.cut_dir(self.root.expect("a root"), path, rng);
    }

    fn cut_dir(&self, object: usize, path: &Path, rng: &mut StdRng) {
        let Object::Dir(dir) = &self.objects[object] else { panic!("a directory") };
        fs::create_dir_all(path).expect("a directory for the disk");
        for (name, child) in names_after_cut(dir, rng) {
            let path = path.join(name);
            match &self.objects[child] {
                Object::Dir(_) => self.cut_dir(child, &path, rng),
                Object::File(file) => {
                    let content = content_after_cut(file, rng);
                    content.put_into(&File::create(&path).expect("a file")).expect("its content");
                }
            }
        }
    }
}

/// Each change of names may have reached the disk or not, but a later change of one name only with the earlier ones.
fn names_after_cut(dir: &Layers<Entries>, rng: &mut StdRng) -> Entries {
    let likely = [0.0, 0.2, 0.5, 0.8, 1.0][rng.random_range(0..5)];
    let mut entries = dir.synced.clone();
    let mut stuck: BTreeSet<&str> = BTreeSet::new();
    for (_, naming) in &dir.changes {
        let names = match naming {
            Naming::Name(name, _) | Naming::Unname(name) => vec![name.as_str()],
            Naming::Rename(old, new) => vec![old.as_str(), new.as_str()],
        };
        if names.iter().any(|name| stuck.contains(name)) || !rng.random_bool(likely) {
            stuck.extend(names);
        } else {
            entries.make(naming);
        }
    }
    entries
}

/// Each sector is as it was after some of the changes; the length independently too.
fn content_after_cut(file: &Layers<Content>, rng: &mut StdRng) -> Content {
    let mut content = file.synced.clone();
    let all = file.changes.len();
    let (sectors_at_once, likely) =
        ([1, 8, 1024][rng.random_range(0..3)], [0.02, 0.1, 0.5, 0.9, 0.98][rng.random_range(0..5)]);
    let way = rng.random_range(0..6);
    let common = rng.random_range(0..=all);
    let some = |rng: &mut StdRng| match way {
        1 => all,
        2 => common,
        // In the order of the writes, but the next ones are torn.
        3 => (common + rng.random_range(0..3)).min(all),
        4 if rng.random_bool(likely) => all,
        0 | 4 => 0,
        _ => rng.random_range(0..=all),
    };
    let length_after = if rng.random_bool(0.5) { some(rng) } else { [0, all][rng.random_range(0..2)] };
    let mut chosen: HashMap<u64, usize> = HashMap::new();
    let mut length = content.length;
    for (number, (_, change)) in file.changes.iter().enumerate() {
        content.make_where(change, |sector| {
            number < *chosen.entry(sector / sectors_at_once).or_insert_with(|| some(rng))
        });
        if number < length_after {
            length = Content::length_after(length, change);
        }
    }
    content.make_where(&Change::Length(length), |_| true);
    content.length = length;
    content
}

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
