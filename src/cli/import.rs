//! `onceward import`: the records of an export, into a data directory of their own or into the etcd of a cluster.

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use onceward_cluster::{Cluster, EtcdStore};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::answer::CommandOutput;
use super::backup::{CopiedRecord, Header, Reader};
use super::context::{Context, refuse_root};
use super::error::CommandError;
use super::export::{RecordCounts, is_of, said};
use crate::clock::{Clock as _, EngineClock, SystemClock};
use crate::config::{ClusterSettings, NOT_THE_KEY, Settings, StorageSettings, is_server_key};
use crate::domain::{ServerKey, Timestamp};
use crate::engine::{SlotHash, key_fingerprint};
use crate::node::{kinds, server_key};
use crate::server::{ClusterError, begin_import};
use crate::store::{self, EmbeddedStore, Store, StoreError, StoreLimits, check_importable};

#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The export; "-" is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The server key that the export was written with, if it is not in the data directory.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Bytes that an import commits at once.
const BATCH_BYTES: usize = 1024 * 1024;

pub fn run(args: &ImportArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    if args.key_file.as_ref().and_then(|file| file.to_str()).is_some_and(is_server_key) {
        return Err(CommandError::Usage(format!("--key-file: {NOT_THE_KEY}")));
    }
    let Settings { storage: settings, cluster, .. } = cx.settings()?;
    let key_file = args.key_file.clone().or_else(|| settings.server_key_file.clone());
    let storage = StorageSettings { server_key_file: key_file, ..settings.clone() };
    let import = Import::begin(args, &storage, cluster.as_ref())?;
    let imported = match import.run() {
        Ok(imported) => imported,
        Err(error) => {
            let rest = if cluster.is_some() {
                "no node serves before an import succeeds; run the command again".to_owned()
            } else {
                let directory = settings.data_dir.display();
                format!("remove everything in {directory} but server.key, and run the command again")
            };
            let mut answer = error.answer();
            answer.err = format!("{}nothing was imported: {rest}\n", answer.err);
            return Ok(answer);
        }
    };
    let place = if cluster.is_some() { "etcd".to_owned() } else { settings.data_dir.display().to_string() };
    Ok(summary(&imported, cx.json, &place))
}

#[derive(Default)]
struct Imported {
    counts: RecordCounts,
    /// Records that have expired.
    ended: u64,
}

/// An export, and a store without records that it fills. No server uses the store before the end.
struct Import {
    reader: Reader<Box<dyn BufRead>>,
    slots: SlotHash,
    now: Timestamp,
    runtime: Runtime,
    store: Target,
    /// Records that are not committed yet.
    batch: Vec<store::Write>,
    batch_bytes: usize,
}

enum Target {
    Directory(Box<EmbeddedStore>),
    Etcd(Box<(Cluster, EtcdStore)>),
}

impl Import {
    fn begin(
        args: &ImportArgs,
        storage: &StorageSettings,
        cluster: Option<&ClusterSettings>,
    ) -> Result<Self, CommandError> {
        let (data_dir, key_file) = (&storage.data_dir, storage.server_key_file.as_deref());
        if cluster.is_none() {
            // Before a long file is read, and before a key is made.
            refuse_root(data_dir)?;
            check_importable(data_dir)?;
        }
        let (header, reader) = Reader::begin(open(&args.file)?)?;
        let key = key(&header, data_dir, key_file)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime =
            runtime.map_err(|error| CommandError::Failed(format!("threads cannot start: {error}")))?;
        let clock = EngineClock::over(Arc::new(SystemClock::start()));
        let now = clock.now();
        // No decision is earlier than the export.
        clock.at_least(header.exported_at.max(now));
        let store = if let Some(cluster) = cluster {
            Target::Etcd(Box::new(runtime.block_on(begin_import(storage, cluster, &clock))?))
        } else {
            let mut options = store::OpenOptions::new(data_dir, key_fingerprint(&key), clock);
            options.importing = true;
            Target::Directory(Box::new(EmbeddedStore::open(&options)?))
        };
        let slots = SlotHash::new(&key);
        Ok(Self { reader, slots, now, runtime, store, batch: Vec::new(), batch_bytes: 0 })
    }

    fn run(mut self) -> Result<Imported, CommandError> {
        let (kinds, now, mut imported) = (kinds(), self.now, Imported::default());
        while let Some(entry) = self.reader.next_entry(&kinds, &self.slots)? {
            if entry.expires <= now {
                imported.ended += 1;
            } else {
                *imported.counts.entry(entry.key.kind).or_default() += 1;
                self.add(entry)?;
            }
        }
        self.commit()?;
        match self.store {
            Target::Directory(store) => self.runtime.block_on(store.close()).map_err(CommandError::Write)?,
            Target::Etcd(of_cluster) => {
                let (cluster, store) = *of_cluster;
                self.runtime.block_on(cluster.finish_import(store)).map_err(ClusterError::from)?;
            }
        }
        Ok(imported)
    }

    fn store(&self) -> &dyn Store {
        match &self.store {
            Target::Directory(store) => &**store,
            Target::Etcd(of_cluster) => &of_cluster.1,
        }
    }

    fn add(&mut self, CopiedRecord { key, expires, record }: CopiedRecord) -> Result<(), CommandError> {
        let is_full = !has_room(self.batch.len(), self.batch_bytes + record.len(), &self.store().limits());
        if is_full && !self.batch.is_empty() {
            self.commit()?;
        }
        self.batch_bytes += record.len();
        self.batch.push(store::Write { key, put: Some(record), expires });
        Ok(())
    }

    fn commit(&mut self) -> Result<(), CommandError> {
        let (done, committed) = oneshot::channel();
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.store().commit(batch, Box::new(|result| drop(done.send(result))));
        committed.blocking_recv().unwrap_or(Err(StoreError::Closed)).map_err(CommandError::Write)
    }
}

/// Whether a batch of so many records takes one more and has then so many bytes: a store takes no larger one.
fn has_room(records: usize, bytes: usize, limits: &StoreLimits) -> bool {
    records < limits.records_per_batch && bytes <= BATCH_BYTES.min(limits.bytes_per_batch)
}

fn summary(imported: &Imported, json: bool, place: &str) -> CommandOutput {
    let Imported { counts, ended } = imported;
    CommandOutput::of(said(counts, &[("ended", *ended)], json, |records| {
        format!("imported {records} into {place}, without {ended} others that have ended since\n")
    }))
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, CommandError> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, stdin())));
    }
    let opened = File::open(file).map_err(CommandError::of_file("open", file))?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, opened)))
}

/// The key that the export was written with.
fn key(header: &Header, data_dir: &Path, key_file: Option<&Path>) -> Result<ServerKey, CommandError> {
    const PUT: &str =
        "put the server.key that it was written with there, or name it with --key-file or ONCEWARD_KEY_FILE";
    let problem = match server_key::find(data_dir, key_file)? {
        Some(key) if is_of(&key, &header.key) => return Ok(key),
        Some(_) => "the export was written with another server key than the one of",
        None => "there is no server key in",
    };
    Err(CommandError::Failed(format!("{problem} {}; {PUT}", data_dir.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_an_import_asks_for_the_limits_before_it_grows() {
        let etcd = StoreLimits { records_per_batch: 1_000, bytes_per_batch: 9, ..StoreLimits::NONE };
        for (records, bytes, limits, has) in [
            (999, 9, etcd, true),
            (1_000, 9, etcd, false),
            (1, 10, etcd, false),
            (9_999, BATCH_BYTES, StoreLimits::NONE, true),
            (1, BATCH_BYTES + 1, StoreLimits::NONE, false),
        ] {
            assert_eq!(has_room(records, bytes, &limits), has, "{records} {bytes}");
        }
    }
}
