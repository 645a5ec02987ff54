//! The snapshot: where records rest that the journal no longer carries.
//!
//! It is in no answer's path. It consists of layers: files that are written once, from the beginning to the end, and
//! never changed. A round writes one, with what has changed since the last; often it takes in what the newest layers
//! have, and now and then what all of them have, so that there are few and what has ended leaves the disk. Nothing
//! is removed before what replaces it is on the disk under its name. So whatever fails, and whenever the power goes,
//! the layers that there were are there.

mod apply;
mod chain;
mod endings;
mod format;
mod layer;
mod merged;
mod tidy;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::format::Header;
use self::layer::{Entries, Layer};
use self::merged::Run;
use super::changes::{Change, Changes};
use super::disk::{Disk, Step};
use crate::{Key, Kind};
use onceward_core::domain::Timestamp;

pub(super) use self::apply::{PAUSE, Round};
pub(super) use self::chain::{bytes_in, last_segment_in};
pub(super) use self::format::{EMPTY_LAYER_BYTES, Entry};
pub(super) use self::merged::Merged;
pub(super) use self::write::LayerWriter;

/// Why the snapshot could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SnapshotError {
    /// It is there, but it is not what was written.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// It could not be read or written this time.
    #[error("{0}")]
    Failed(String),
}

/// For `map_err`: what was tried, and on what.
fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    move |error| SnapshotError::Failed(format!("cannot {action} {}: {error}", path.display()))
}

/// Up to where something has what the journal had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Covered {
    /// The last segment.
    pub(super) segment: u64,
    /// The last sequence in it, so that the next one can be proved to follow it.
    pub(super) sequence: u64,
    /// The time of the last frame.
    pub(super) time: Timestamp,
}

impl Covered {
    pub(super) const NOTHING: Self = Self { segment: 0, sequence: 0, time: Timestamp::EPOCH };
}

/// The snapshot of a data directory.
pub(super) struct Snapshot {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// The oldest first; there is always one. Who reads has handles of his own.
    layers: Mutex<Vec<Arc<Layer>>>,
    left: Mutex<Left>,
    /// When it was opened, by whatever clock.
    opened: Timestamp,
}

/// What is left to do.
struct Left {
    /// Whether the names of layers may not be on the disk yet.
    unsynced: bool,
    /// Files that can go when they are.
    obsolete: Vec<PathBuf>,
    /// How many bytes of layers are merged at most, and until when: a larger merge had no room.
    merges: Option<(u64, Timestamp)>,
}

impl Snapshot {
    /// Makes a new, empty snapshot in the empty directory at `path`.
    pub(super) fn create(path: &Path, disk: &Arc<dyn Disk>, now: Timestamp) -> Result<(), SnapshotError> {
        Self::begin(path, disk, Covered::NOTHING, now)?.finish()?;
        disk.sync_dir(path).map_err(failed("sync", path))
    }

    /// Begins the first layer of a new snapshot, in the empty directory at `path`. Whoever ends it syncs the directory.
    pub(super) fn begin(
        path: &Path,
        disk: &Arc<dyn Disk>,
        covered: Covered,
        now: Timestamp,
    ) -> Result<LayerWriter, SnapshotError> {
        LayerWriter::begin(disk, path, Header { first: 0, covered }, now)
    }

    /// The snapshot at `path`, which must be there, read from the beginning to the end. Changes nothing. `see` is shown
    /// every entry of every layer, and which file it is in.
    pub(super) fn open(
        path: &Path,
        disk: &Arc<dyn Disk>,
        now: Timestamp,
        see: &mut dyn FnMut(&Path, &Entry),
    ) -> Result<Self, SnapshotError> {
        let found = chain::look(path)?;
        let layers = read(path, &found.layers, now, see).collect::<Result<_, _>>()?;
        Ok(Self::of(path, disk, layers, found.left_over, now))
    }

    /// The same, and says all that is wrong.
    pub(super) fn examine(
        path: &Path,
        disk: &Arc<dyn Disk>,
        now: Timestamp,
        see: &mut dyn FnMut(&Path, &Entry),
    ) -> Result<Self, Vec<SnapshotError>> {
        let found = chain::look(path).map_err(|error| vec![error])?;
        let (mut layers, mut errors) = (Vec::new(), Vec::new());
        for layer in read(path, &found.layers, now, see) {
            match layer {
                Ok(layer) => layers.push(layer),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self::of(path, disk, layers, found.left_over, now)) } else { Err(errors) }
    }

    fn of(
        path: &Path,
        disk: &Arc<dyn Disk>,
        layers: Vec<Arc<Layer>>,
        left_over: Vec<PathBuf>,
        opened: Timestamp,
    ) -> Self {
        // A process that was killed may have left their names in the system's cache only.
        let left = Left { unsynced: true, obsolete: left_over, merges: None };
        Self {
            path: path.to_owned(),
            disk: disk.clone(),
            layers: Mutex::new(layers),
            left: Mutex::new(left),
            opened,
        }
    }

    /// Up to where it has what the journal had.
    pub(super) fn covered(&self) -> Covered {
        self.layers().last().map_or(Covered::NOTHING, |layer| layer.covered())
    }

    /// How many entries it has, those included that newer ones replace.
    pub(super) fn entries(&self) -> u64 {
        self.layers().iter().map(|layer| layer.entries).sum()
    }

    /// How many keys of this kind it has: no more than that, and about so many if few of its entries are replaced.
    pub(super) fn about(&self, kind: Kind) -> u64 {
        self.layers().iter().map(|layer| layer.about(kind)).sum()
    }

    /// Returns when all of it is on the disk, and not in a cache only, and what it has no use for is gone.
    pub(super) fn make_durable(&self) -> Result<(), SnapshotError> {
        for layer in self.layers() {
            self.disk.sync_file(&layer.path).map_err(failed("sync", &layer.path))?;
        }
        self.settle()
    }

    /// Returns when the names of its layers are on the disk, and what they replace is gone.
    fn settle(&self) -> Result<(), SnapshotError> {
        let mut left = self.lock_left();
        if left.unsynced {
            self.disk.sync_dir(&self.path).map_err(failed("sync", &self.path))?;
            left.unsynced = false;
            self.disk.reached(Step::NamedAndSynced);
        }
        while let Some(path) = left.obsolete.last() {
            match self.disk.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", path)(error));
                }
                _ => drop(left.obsolete.pop()),
            }
            self.disk.reached(Step::LayerRemoved);
        }
        Ok(())
    }

    /// The newest entries under `keys`, removals and dead ones included, in their order.
    pub(super) fn find(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, SnapshotError> {
        let layers = self.layers();
        let one = |key: &Key| {
            let found = layers.iter().rev().map(|layer| layer.find(key)).find(|found| *found != Ok(None));
            found.unwrap_or(Ok(None))
        };
        keys.iter().map(one).collect()
    }

    /// The newest entry under every key of `kind`.
    pub(super) fn of_kind(&self, kind: Kind) -> Result<Merged<'static>, SnapshotError> {
        Merged::of(newest_first(&self.layers(), Some(kind)).collect())
    }

    /// The newest entry under every key, with these changes made.
    pub(super) fn with<'a>(&self, changes: &'a Changes) -> Result<Merged<'a>, SnapshotError> {
        let layers = self.layers();
        let sorted = changes.sorted().into_iter();
        let changes: Run<'a> = Box::new(sorted.map(|(key, change)| Ok(entry_of(key, change))));
        Merged::of(std::iter::once(changes).chain(newest_first(&layers, None)).collect())
    }

    fn layers(&self) -> Vec<Arc<Layer>> {
        self.lock_layers().clone()
    }

    fn lock_left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_layers(&self) -> MutexGuard<'_, Vec<Arc<Layer>>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the layers of these segments.
fn read(
    path: &Path,
    segments: &[(u64, u64)],
    now: Timestamp,
    see: &mut dyn FnMut(&Path, &Entry),
) -> impl Iterator<Item = Result<Arc<Layer>, SnapshotError>> {
    segments.iter().map(move |(first, last)| {
        let path = path.join(chain::name(*first, *last));
        let layer = Layer::open(&path, now, &mut |entry| see(&path, entry))?;
        if (layer.header.first, layer.covered().segment) != (*first, *last) {
            let detail = "it is another layer than its name says".into();
            return Err(SnapshotError::Damaged { path, detail });
        }
        Ok(Arc::new(layer))
    })
}

fn newest_first<'a>(layers: &[Arc<Layer>], kind: Option<Kind>) -> impl Iterator<Item = Run<'a>> {
    layers.iter().rev().map(move |layer| -> Run<'a> { Box::new(Entries::of(layer, kind)) })
}

/// A change, as a layer has it.
fn entry_of(key: &Key, change: &Change) -> Entry {
    Entry { key: *key, sequence: change.sequence, gc_after: change.gc_after, put: change.put.clone() }
}
