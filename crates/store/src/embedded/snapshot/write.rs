//! Writing a layer: under another name, from the beginning to the end, synced, and only then under its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::endings::Endings;
use super::format::{self, BLOCK_BYTES, BlockBuilder, Entry, Header};
use super::layer::{BlockAt, Layer};
use super::{SnapshotError, chain, failed};
use crate::Key;
use crate::embedded::disk::{Disk, DiskFile, Step};
use onceward_core::domain::Timestamp;

/// What was written is synced whenever it has so many bytes more. A sync of the journal waits for what the file system
/// has not written yet, also of other files; so there is never much of it.
const SYNC_BYTES: u64 = 1024 * 1024;

/// A layer that is being written.
pub(in crate::embedded) struct LayerWriter {
    disk: Arc<dyn Disk>,
    header: Header,
    path: PathBuf,
    temporary: PathBuf,
    file: Box<dyn DiskFile>,
    builder: BlockBuilder,
    /// The first key of the block that is put together.
    first_key: Option<Key>,
    last_key: Option<Key>,
    offset: u64,
    synced: u64,
    blocks: Vec<BlockAt>,
    entries: u64,
    endings: Endings,
    named: bool,
}

impl LayerWriter {
    /// Begins a layer of the snapshot in `directory`.
    pub(super) fn begin(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        header: Header,
        now: Timestamp,
    ) -> Result<Self, SnapshotError> {
        let path = directory.join(chain::name(header.first, header.covered.segment));
        let temporary = path.with_extension(chain::UNFINISHED);
        let mut file = disk.create(&temporary, 0).map_err(failed("create", &temporary))?;
        file.write_at(&header.encode(), 0).map_err(failed("write", &temporary))?;
        Ok(Self {
            disk: disk.clone(),
            header,
            path,
            temporary,
            file,
            builder: BlockBuilder::default(),
            first_key: None,
            last_key: None,
            offset: format::HEADER_BYTES as u64,
            synced: 0,
            blocks: Vec::new(),
            entries: 0,
            endings: Endings::counted_at(now),
            named: false,
        })
    }

    /// Adds an entry. Says whether it filled a block, which is a good moment for a pause.
    pub(in crate::embedded) fn add(&mut self, entry: &Entry) -> Result<bool, SnapshotError> {
        if self.last_key.is_some_and(|last| last >= entry.key) {
            return Err(SnapshotError::Failed("entries do not come in the order of their keys".into()));
        }
        self.last_key = Some(entry.key);
        self.first_key.get_or_insert(entry.key);
        self.builder.add(entry);
        self.entries += 1;
        self.endings.add(entry);
        let full = self.builder.len() >= BLOCK_BYTES;
        if full {
            self.write_block()?;
        }
        Ok(full)
    }

    fn write_block(&mut self) -> Result<(), SnapshotError> {
        let Some(first) = self.first_key.take() else { return Ok(()) };
        let block = self.builder.finish(self.header.seed());
        self.file.write_at(block, self.offset).map_err(failed("write", &self.temporary))?;
        self.blocks.push(BlockAt { offset: self.offset, bytes: block.len(), first });
        self.offset += block.len() as u64;
        self.builder.clear();
        if self.offset - self.synced >= SYNC_BYTES {
            self.file.sync().map_err(failed("sync", &self.temporary))?;
            self.synced = self.offset;
        }
        Ok(())
    }

    /// Ends it and gives it its name. All of it is then on the disk, but for the name: that takes a sync of the
    /// directory.
    pub(in crate::embedded) fn finish(mut self) -> Result<Layer, SnapshotError> {
        self.write_block()?;
        let end = format::end(self.blocks.len() as u64, self.entries, self.header.seed());
        self.file.write_at(&end, self.offset).map_err(failed("write", &self.temporary))?;
        self.disk.reached(Step::Written);
        self.file.sync().map_err(failed("sync", &self.temporary))?;
        self.disk.reached(Step::WrittenAndSynced);
        let layer = Layer::written(
            &self.temporary,
            &self.path,
            self.header,
            std::mem::take(&mut self.blocks),
            self.entries,
            self.offset + end.len() as u64,
            std::mem::replace(&mut self.endings, Endings::counted_at(Timestamp::EPOCH)),
        )?;
        self.disk.rename(&self.temporary, &self.path).map_err(failed("name", &self.path))?;
        self.named = true;
        self.disk.reached(Step::Named);
        Ok(layer)
    }
}

/// What is not finished is of no use, and takes space that others need.
impl Drop for LayerWriter {
    fn drop(&mut self) {
        if !self.named {
            let _ = self.disk.remove(&self.temporary);
        }
    }
}
