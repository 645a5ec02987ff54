//! One layer: a file that is never changed, with entries in the order of their keys.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::endings::Endings;
use super::format::{self, BLOCK_HEAD_BYTES, END_BYTES, Entry, HEADER_BYTES, Header};
use super::{Covered, SnapshotError, failed};
use crate::{Key, Kind};
use onceward_core::domain::Timestamp;

/// A layer that is whole.
#[derive(Debug)]
pub(in crate::embedded) struct Layer {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    endings: Endings,
    file: File,
    blocks: Vec<BlockAt>,
}

/// Where a block is.
#[derive(Debug)]
pub(super) struct BlockAt {
    pub(super) offset: u64,
    pub(super) bytes: usize,
    /// Its first key.
    pub(super) first: Key,
}

impl Layer {
    /// The layer at `path`, read from the beginning to the end, so that all of it is known to be there. `see` is told
    /// of every entry.
    pub(super) fn open(
        path: &Path,
        now: Timestamp,
        see: &mut dyn FnMut(&Entry),
    ) -> Result<Self, SnapshotError> {
        let file = File::open(path).map_err(failed("open", path))?;
        let bytes = file.metadata().map_err(failed("look at", path))?.len();
        let damaged = |offset: u64, what: &str| SnapshotError::Damaged {
            path: path.to_owned(),
            detail: format!("{what} at byte {offset}"),
        };
        let header = read(&file, 0, bytes, path)?
            .and_then(|bytes: [u8; HEADER_BYTES]| Header::decode(&bytes))
            .ok_or_else(|| damaged(0, "there is no undamaged header"))?;
        let mut layer = Self {
            path: path.to_owned(),
            header,
            entries: 0,
            bytes,
            endings: Endings::counted_at(now),
            file,
            blocks: Vec::new(),
        };
        let (mut offset, mut last) = (HEADER_BYTES as u64, None);
        while let Some(block) = layer.block_at(offset)? {
            let not_ours = || damaged(offset, "there is a block that is not what was written");
            let entries = layer.entries_at(offset, block)?.ok_or_else(not_ours)?;
            for entry in &entries {
                if last.is_some_and(|last| last >= entry.key) {
                    return Err(not_ours());
                }
                last = Some(entry.key);
                layer.endings.add(entry);
                see(entry);
            }
            let first = entries.first().ok_or_else(not_ours)?.key;
            layer.entries += entries.len() as u64;
            layer.blocks.push(BlockAt { offset, bytes: block, first });
            offset += block as u64;
        }
        let end = format::end(layer.blocks.len() as u64, layer.entries, header.seed());
        if offset + END_BYTES as u64 != bytes || read(&layer.file, offset, bytes, path)? != Some(end) {
            return Err(damaged(offset, "there is neither an undamaged block nor the end"));
        }
        Ok(layer)
    }

    /// A layer that was just written, and is to be renamed from `temporary` to `path`.
    pub(super) fn written(
        temporary: &Path,
        path: &Path,
        header: Header,
        blocks: Vec<BlockAt>,
        entries: u64,
        bytes: u64,
        endings: Endings,
    ) -> Result<Self, SnapshotError> {
        let file = File::open(temporary).map_err(failed("open", temporary))?;
        Ok(Self { path: path.to_owned(), header, entries, bytes, endings, file, blocks })
    }

    /// How many bytes the block at `offset` has, if one begins there and ends within the file.
    fn block_at(&self, offset: u64) -> Result<Option<usize>, SnapshotError> {
        let head: Option<[u8; BLOCK_HEAD_BYTES]> = read(&self.file, offset, self.bytes, &self.path)?;
        let block = head.and_then(|head| format::body_bytes(&head)).map(|body| BLOCK_HEAD_BYTES + body);
        Ok(block.filter(|bytes| offset + *bytes as u64 <= self.bytes))
    }

    fn entries_at(&self, offset: u64, bytes: usize) -> Result<Option<Vec<Entry>>, SnapshotError> {
        let mut block = vec![0; bytes];
        self.file.read_exact_at(&mut block, offset).map_err(failed("read", &self.path))?;
        Ok(format::entries(&Bytes::from(block), self.header.seed()))
    }

    fn entries_of(&self, block: &BlockAt) -> Result<Vec<Entry>, SnapshotError> {
        let changed = || SnapshotError::Damaged {
            path: self.path.clone(),
            detail: format!("the block at byte {} is no longer what it was", block.offset),
        };
        self.entries_at(block.offset, block.bytes)?.ok_or_else(changed)
    }

    /// What it has under `key`.
    pub(super) fn find(&self, key: &Key) -> Result<Option<Entry>, SnapshotError> {
        let behind = self.blocks.partition_point(|block| block.first <= *key);
        let Some(block) = behind.checked_sub(1).map(|index| &self.blocks[index]) else { return Ok(None) };
        let entries = self.entries_of(block)?;
        Ok(entries.binary_search_by_key(key, |entry| entry.key).ok().map(|index| entries[index].clone()))
    }

    /// How many of its entries are of this kind, to a few hundred.
    pub(super) fn about(&self, kind: Kind) -> u64 {
        let blocks = self.blocks.iter().filter(|block| block.first.kind == kind).count() as u64;
        (self.entries * blocks).checked_div(self.blocks.len() as u64).unwrap_or(0)
    }

    /// How far the journal is covered by it and those before it.
    pub(super) fn covered(&self) -> Covered {
        self.header.covered
    }

    /// How many of its entries have surely ended at `now`.
    pub(super) fn ended_at(&self, now: Timestamp) -> u64 {
        self.endings.ended_at(now)
    }
}

/// `N` bytes at `offset` of a file that is `length` long, if it has so many there.
fn read<const N: usize>(
    file: &File,
    offset: u64,
    length: u64,
    path: &Path,
) -> Result<Option<[u8; N]>, SnapshotError> {
    let mut bytes = [0; N];
    if offset + N as u64 > length {
        return Ok(None);
    }
    file.read_exact_at(&mut bytes, offset).map_err(failed("read", path))?;
    Ok(Some(bytes))
}

/// The entries of a layer, one after the other: all of them, or those of one kind.
pub(super) struct Entries {
    layer: Arc<Layer>,
    kind: Option<Kind>,
    next_block: usize,
    block: std::vec::IntoIter<Entry>,
}

impl Entries {
    pub(super) fn of(layer: &Arc<Layer>, kind: Option<Kind>) -> Self {
        // Keys begin with their kind.
        let before = |kind| layer.blocks.partition_point(|block| block.first.kind < kind).saturating_sub(1);
        let next_block = kind.map_or(0, before);
        Self { layer: layer.clone(), kind, next_block, block: Vec::new().into_iter() }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            for entry in self.block.by_ref() {
                match self.kind {
                    Some(kind) if entry.key.kind < kind => {}
                    Some(kind) if entry.key.kind > kind => {
                        self.next_block = usize::MAX;
                        return None;
                    }
                    _ => return Some(Ok(entry)),
                }
            }
            let block = self.layer.blocks.get(self.next_block)?;
            self.next_block += 1;
            match self.layer.entries_of(block) {
                Ok(entries) => self.block = entries.into_iter(),
                Err(error) => {
                    self.next_block = usize::MAX;
                    return Some(Err(error));
                }
            }
        }
    }
}
