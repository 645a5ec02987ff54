//! `onceward export` and `onceward import`: everything as of one moment, as lines of JSON, and back.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write, stdin, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use onceward_cluster::{Cluster, EtcdStore};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::backup::{ExportError, Header, Reader, Writer, without_codes};
use super::source::{Progress, Source};
use super::{CommandError, CommandOutput, in_three, json_line, refuse_root};
use crate::clock::{Clock, EngineClock, SystemClock};
use crate::config::{ClusterSettings, NOT_THE_KEY, StorageSettings, is_server_key};
use crate::domain::{ServerKey, Timestamp};
use crate::engine::{SlotHash, key_fingerprint};
use crate::node::kinds::for_tools;
use crate::node::{KeyError, load_or_create, server_key};
use crate::server::{ClusterError, begin_import};
use crate::store::{self, CopiedRecord, EmbeddedStore, RecordCounts, Store, StoreError, check_importable};

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Write to this file, which only you can read and which appears when it is complete; "-" is standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Print no progress and no summary.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The export; "-" is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The server key that the export was written with, if it is not in the data directory.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// Leave out outstanding codes and messages that are still to be sent. The server key may then be another one.
    #[arg(long)]
    drop_codes: bool,

    /// Print no progress and no summary.
    #[arg(long, short)]
    quiet: bool,
}

/// Bytes read or written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Bytes that an import commits at once.
const BATCH_BYTES: usize = 1024 * 1024;

/// A clock that is further behind the export than this gets a warning.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

const TERMINAL: &str = "an export has whole phone numbers in it, which a terminal is no place for; name a file with \
                        --out FILE, or print them all the same with --out -";

/// Further remedies for a server key that is missing or another one.
const OR_ELSE: &str = "name it with --key-file or ONCEWARD_KEY_FILE, or give --drop-codes: counts and lockouts are kept \
                       then, and a person who waits for a code has to ask for a new one";

pub fn export(
    args: &ExportArgs,
    json: bool,
    settings: &StorageSettings,
) -> Result<CommandOutput, CommandError> {
    let out = Out::open(args.out.as_deref())?;
    let is_stdout = matches!(out, Out::Stdout);
    let mut progress = Progress::of("copying", args.quiet);
    let written = write(&out, settings, &mut progress);
    progress.end();
    let (counts, served) = match written {
        Ok(written) => {
            out.complete()?;
            written
        }
        Err(error) => {
            out.give_up();
            return Err(if error.is_about_damage() {
                CommandError::Damaged(error.to_string())
            } else {
                error
            });
        }
    };
    let (numbers, sends, others) = in_three(&counts);
    let said = if json {
        json_line(&json!({"numbers": numbers, "sends": sends, "others": others, "through_server": served}))
    } else if args.quiet {
        String::new()
    } else {
        format!(
            "exported {numbers} numbers, the sends of {sends} verifications and {others} other records\nkeep it secret: it \
             contains whole phone numbers, webhook secrets and the codes of test numbers, and no other codes\n"
        )
    };
    Ok(if is_stdout {
        CommandOutput { err: said, ..CommandOutput::default() }
    } else {
        CommandOutput::of(said)
    })
}

fn write(
    out: &Out,
    settings: &StorageSettings,
    progress: &mut Progress,
) -> Result<(RecordCounts, bool), CommandError> {
    let source = Source::open(settings, progress)?;
    let (served, kinds) = (source.served, for_tools());
    progress.now("exporting");
    let header = Header::new(source.at, source.key.clone());
    let to = out.writer().map_err(ExportError::from)?;
    let mut writer = Writer::begin(BufWriter::with_capacity(BUFFER_BYTES, to), &header)?;
    let counts = source.each(progress, &mut |entry| Ok(writer.write(&entry, &kinds)?))?;
    writer.finish()?;
    Ok((counts, served))
}

/// Where an export is written to. A file under its own name is always a whole export: it is written under another
/// name, and renamed when it is complete and on the disk.
enum Out {
    Stdout,
    /// Not a file, such as a named pipe: written as it comes.
    Device(File),
    File {
        file: File,
        unfinished: PathBuf,
        path: PathBuf,
    },
}

impl Out {
    /// `-` is standard output, and so is an absent name, unless standard output is a terminal.
    fn open(name: Option<&Path>) -> Result<Self, CommandError> {
        let path = match name {
            None if stdout().is_terminal() => return Err(CommandError::Failed(TERMINAL.to_owned())),
            None => return Ok(Self::Stdout),
            Some(path) if path == Path::new("-") => return Ok(Self::Stdout),
            // A link stays one.
            Some(path) => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        };
        let failed = |action| {
            let path = path.clone();
            move |source| CommandError::File { action, path, source }
        };
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            let file = OpenOptions::new().write(true).open(&path).map_err(failed("write to"))?;
            return Ok(Self::Device(file));
        }
        let (file, unfinished) = new_file_beside(&path).map_err(failed("write into the directory of"))?;
        Ok(Self::File { file, unfinished, path })
    }

    fn writer(&self) -> io::Result<Box<dyn Write>> {
        Ok(match self {
            Self::Stdout => Box::new(stdout()),
            Self::Device(file) | Self::File { file, .. } => Box::new(file.try_clone()?),
        })
    }

    fn complete(self) -> Result<(), CommandError> {
        let Self::File { file, unfinished, path } = self else { return Ok(()) };
        let finish = || {
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        finish().map_err(|source| {
            let _ = fs::remove_file(&unfinished);
            CommandError::File { action: "finish", path: path.clone(), source }
        })
    }

    fn give_up(self) {
        if let Self::File { unfinished, .. } = self {
            let _ = fs::remove_file(unfinished);
        }
    }
}

/// Makes a file in the directory of `path`. A file that is there already is not used: in a directory that others may write
/// to, it may be another user's.
fn new_file_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut attempt = 0_u8;
    loop {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}-{attempt}.unfinished", std::process::id()));
        let unfinished = path.with_file_name(name);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < u8::MAX => attempt += 1,
            made => return made.map(|file| (file, unfinished)),
        }
    }
}

#[derive(Default)]
struct Imported {
    counts: RecordCounts,
    /// Records that have expired.
    ended: u64,
    codes_dropped: u64,
    behind: Duration,
}

/// A store without records, which an import fills. No server uses it before [`Target::finish`].
struct Target {
    runtime: Runtime,
    store: TargetStore,
    /// Records that are not committed yet.
    batch: Vec<store::Write>,
    batch_bytes: usize,
}

enum TargetStore {
    Directory(Box<EmbeddedStore>),
    Etcd(Box<(Cluster, EtcdStore)>),
}

impl Target {
    /// Times of decisions are at least `at`.
    fn begin(
        storage: &StorageSettings,
        cluster: Option<&ClusterSettings>,
        key: &ServerKey,
        at: Timestamp,
    ) -> Result<Self, CommandError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime =
            runtime.map_err(|error| CommandError::Failed(format!("threads cannot start: {error}")))?;
        let clock = Arc::new(EngineClock::over(Arc::new(SystemClock::start())));
        clock.at_least(at);
        let store = if let Some(cluster) = cluster {
            TargetStore::Etcd(Box::new(runtime.block_on(begin_import(storage, cluster, &clock))?))
        } else {
            let mut options = store::OpenOptions::new(&storage.data_dir, key_fingerprint(key), clock);
            options.importing = true;
            TargetStore::Directory(Box::new(EmbeddedStore::open(&options)?))
        };
        Ok(Self { runtime, store, batch: Vec::new(), batch_bytes: 0 })
    }

    fn store(&self) -> &dyn Store {
        match &self.store {
            TargetStore::Directory(store) => &**store,
            TargetStore::Etcd(of_cluster) => &of_cluster.1,
        }
    }

    fn add(&mut self, CopiedRecord { key, expires, record }: CopiedRecord) -> Result<(), CommandError> {
        self.batch_bytes += size_of::<store::Write>() + record.len();
        self.batch.push(store::Write { key, put: Some(record), expires });
        let is_full =
            self.batch_bytes >= BATCH_BYTES || self.batch.len() >= self.store().limits().records_per_batch;
        if is_full { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), CommandError> {
        let (done, committed) = oneshot::channel();
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.store().commit(batch, Box::new(|result| drop(done.send(result))));
        committed.blocking_recv().unwrap_or(Err(StoreError::Closed)).map_err(CommandError::Write)
    }

    fn finish(mut self) -> Result<(), CommandError> {
        self.commit()?;
        match self.store {
            TargetStore::Directory(store) => {
                self.runtime.block_on(store.close()).map_err(CommandError::Write)
            }
            TargetStore::Etcd(of_cluster) => {
                let (cluster, store) = *of_cluster;
                Ok(self.runtime.block_on(cluster.finish_import(store)).map_err(ClusterError::from)?)
            }
        }
    }
}

/// Imports an export into a data directory of its own, or into the etcd of a cluster.
pub fn import(
    args: &ImportArgs,
    json: bool,
    settings: &StorageSettings,
    cluster: Option<&ClusterSettings>,
) -> Result<CommandOutput, CommandError> {
    if args.key_file.as_ref().and_then(|file| file.to_str()).is_some_and(is_server_key) {
        return Err(CommandError::Usage(format!("--key-file: {NOT_THE_KEY}")));
    }
    let key_file = args.key_file.clone().or_else(|| settings.server_key_file.clone());
    let mut progress = Progress::of("importing", args.quiet);
    let mut begun = false;
    let key_path = server_key::place(&settings.data_dir, key_file.as_deref());
    let makes_key = !key_path.exists();
    let storage = StorageSettings { server_key_file: key_file, ..settings.clone() };
    let imported = read(args, &storage, cluster, &mut progress, &mut begun);
    progress.end();
    match imported {
        Ok(imported) => {
            let place =
                cluster.map_or_else(|| settings.data_dir.display().to_string(), |_| "etcd".to_owned());
            let mut answer = summary(&imported, args.quiet, json, &place);
            if cluster.is_none() {
                note_key_file(&mut answer, args, json, settings);
            }
            if makes_key && !args.quiet {
                let path = std::path::absolute(&key_path).unwrap_or(key_path);
                let _ =
                    writeln!(answer.err, "created a new server key, {}; keep a copy of it", path.display());
            }
            Ok(answer)
        }
        Err(error) if begun => {
            let mut answer = error.answer();
            let path = settings.data_dir.display();
            // Writing to a text cannot fail.
            let _ = match cluster {
                None => writeln!(
                    answer.err,
                    "nothing was imported: {path} cannot be used before an import into it succeeds; run the command \
                     again, or remove everything in it but server.key"
                ),
                Some(_) => writeln!(
                    answer.err,
                    "nothing was imported: no node serves before an import succeeds; run the command again"
                ),
            };
            Ok(answer)
        }
        Err(error) => Err(error),
    }
}

fn summary(imported: &Imported, is_quiet: bool, json: bool, place: &str) -> CommandOutput {
    let Imported { counts, ended, codes_dropped, behind } = imported;
    let (numbers, sends, others) = in_three(counts);
    let mut err = String::new();
    if *behind > CLOCK_TOLERANCE {
        err = format!(
            "warning: the clock of this machine is {} s behind the export; set it, or the server's times are ahead by as \
             much until it has caught up\n",
            behind.as_secs()
        );
    }
    let out = if json {
        json_line(
            &json!({"numbers": numbers, "sends": sends, "others": others, "ended": ended, "codes_dropped": codes_dropped}),
        )
    } else if is_quiet {
        String::new()
    } else {
        let mut out = format!(
            "imported {numbers} numbers, the sends of {sends} verifications and {others} other records into {place}\n"
        );
        // Writing to a text cannot fail.
        if *ended > 0 {
            let _ = writeln!(out, "left out {ended} that have ended since");
        }
        if *codes_dropped > 0 {
            let _ = writeln!(out, "dropped {codes_dropped} codes and messages that were still to be sent");
        }
        out
    };
    CommandOutput { err, ..CommandOutput::of(out) }
}

/// Says which key the server needs from now on, if it would not find it.
fn note_key_file(answer: &mut CommandOutput, args: &ImportArgs, json: bool, settings: &StorageSettings) {
    if !args.quiet
        && let Some(key_file) = key_file_needed(args, settings)
    {
        let note = format!(
            "the server needs this key from now on: set ONCEWARD_KEY_FILE={}, or copy the file to {} (mode 0600, owned by \
             the server's user)\n",
            key_file.display(),
            server_key::place(&settings.data_dir, None).display()
        );
        // Standard output has the line for machines only.
        if json { answer.err.push_str(&note) } else { answer.out.push_str(&note) }
    }
}

/// The key file of `--key-file`, if the server would not start without it.
fn key_file_needed(args: &ImportArgs, settings: &StorageSettings) -> Option<PathBuf> {
    let named = args.key_file.as_deref()?;
    let fingerprint = |key: Result<_, KeyError>| key.ok().flatten().map(|key| key_fingerprint(&key));
    let (data_dir, found) = (&settings.data_dir, settings.server_key_file.as_deref());
    let without = fingerprint(server_key::find(data_dir, found));
    let with = fingerprint(server_key::find(data_dir, Some(named)));
    (without != with).then(|| std::path::absolute(named).unwrap_or_else(|_| named.to_owned()))
}

fn read(
    args: &ImportArgs,
    storage: &StorageSettings,
    cluster: Option<&ClusterSettings>,
    progress: &mut Progress,
    begun: &mut bool,
) -> Result<Imported, CommandError> {
    let (data_dir, key_file) = (&storage.data_dir, storage.server_key_file.as_deref());
    if cluster.is_none() {
        // Before a long file is read, and before a key is made.
        refuse_root(data_dir)?;
        check_importable(data_dir)?;
    }
    let (header, mut reader) = Reader::begin(open(&args.file)?)?;
    let key = key(&header, data_dir, key_file, args.drop_codes)?;
    let (slots, kinds) = (SlotHash::new(&key), for_tools());
    let now = SystemClock::start().now();
    let mut imported = Imported { behind: header.exported_at.since(now), ..Imported::default() };
    let at = header.exported_at.max(now);
    let mut target = Target::begin(storage, cluster, &key, at)?;
    *begun = true;
    while let Some(entry) = reader.next_entry(&kinds, &slots)? {
        progress.at(reader.line());
        let (kept, dropped) = if args.drop_codes { without_codes(entry)? } else { (Some(entry), false) };
        imported.codes_dropped += u64::from(dropped);
        let Some(entry) = kept else { continue };
        if entry.expires <= now {
            imported.ended += 1;
        } else {
            *imported.counts.entry(entry.key.kind).or_default() += 1;
            target.add(entry)?;
        }
    }
    progress.now("finishing");
    target.finish()?;
    Ok(imported)
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, CommandError> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, stdin())));
    }
    let failed = |source| CommandError::File { action: "open", path: file.to_owned(), source };
    let opened = File::open(file).map_err(failed)?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, opened)))
}

/// The key that the new data directory belongs to.
fn key(
    header: &Header,
    data_dir: &Path,
    key_file: Option<&Path>,
    drop_codes: bool,
) -> Result<ServerKey, CommandError> {
    let (exists, shown) =
        (key_file.is_some() || server_key::place(data_dir, None).exists(), data_dir.display());
    if !exists && !drop_codes {
        return Err(CommandError::Failed(format!(
            "there is no server key in {shown}; put the server.key that the data was written with there, {OR_ELSE}"
        )));
    }
    let key = load_or_create(data_dir, key_file)?;
    if base16ct::lower::encode_string(&key_fingerprint(&key)) != header.key && !drop_codes {
        return Err(CommandError::Failed(format!(
            "the export was written with another server key, and none of its codes could be checked; put the server.key \
             that it was written with into {shown}, {OR_ELSE}"
        )));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn an_export_goes_into_no_file_that_was_there_before() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("all.jsonl");
        let name =
            |attempt| home.path().join(format!("all.jsonl.{}-{attempt}.unfinished", std::process::id()));
        fs::write(name(0), "another user's").expect("a file");
        symlink(home.path().join("elsewhere"), name(1)).expect("a link");
        let out = Out::open(Some(&path)).expect("a file");
        out.writer().and_then(|mut writer| writer.write_all(b"export")).expect("written");
        out.complete().expect("complete");
        assert_eq!(fs::read_to_string(&path).expect("an export"), "export");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(name(0)).expect("a file"), "another user's");
        assert!(!home.path().join("elsewhere").exists());
    }
}
