//! `onceward import`: an export into a data directory of its own.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::progress::Progress;
use super::{EXIT_DAMAGED, EXIT_FAILED, failed, in_three};
use crate::backup::{Header, ImportError, Reader, without_codes};
use crate::cli::Answer;
use crate::cli::args::ImportArgs;
use crate::clock::{Clock, SystemClock};
use crate::config::StorageSettings;
use crate::domain::{ServerKey, Timestamp};
use crate::engine::{SlotHash, key_fingerprint};
use crate::node::kinds::for_tools;
use crate::node::{KeyError, load_or_create, server_key};
use crate::shard::RecordError;
use crate::store::{Counts, Entry, NewStore, OpenError, check_new};

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// A clock that is further behind the export than this gets a warning.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
enum ImportCommandError {
    #[error("open {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(
        "there is no server key in {}; put the server.key that the data was written with there, name it with --key-file or \
         ONCEWARD_KEY_FILE, or give --drop-codes: counts and lockouts are kept then, and a person who waits for a code has to \
         ask for a new one",
        .0.display()
    )]
    NoKey(PathBuf),
    #[error(
        "the export was written with another server key, so none of its codes could be checked; put the server.key that it \
         was written with into {}, name it with --key-file or ONCEWARD_KEY_FILE, or give --drop-codes: counts and lockouts \
         are kept then, and a person who waits for a code has to ask for a new one",
        .0.display()
    )]
    OtherKey(PathBuf),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl ImportCommandError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Import(error) if !matches!(error, ImportError::Io(_)) => EXIT_DAMAGED,
            _ => EXIT_FAILED,
        }
    }
}

/// Counts of an import.
#[derive(Default)]
struct Imported {
    counts: Counts,
    /// Records that have expired.
    ended: u64,
    codes_dropped: u64,
    behind: Duration,
}

pub(super) fn run(args: &ImportArgs, settings: &StorageSettings) -> Answer {
    let key_file = args.key_file.clone().or_else(|| settings.server_key_file.clone());
    let mut progress = Progress::of("importing", args.quiet);
    let mut begun = false;
    let imported = import(args, &settings.data_dir, key_file.as_deref(), &mut progress, &mut begun);
    progress.end();
    match imported {
        Ok(imported) => summary(&imported, args, settings),
        Err(error) => {
            let mut answer = failed(error.exit_code(), &error);
            if begun {
                let path = settings.data_dir.display();
                let _ = writeln!(
                    answer.err,
                    "nothing was imported: {path} cannot be used before an import into it succeeds; run the command again, or \
                     remove everything in it but server.key"
                );
            }
            answer
        }
    }
}

fn summary(imported: &Imported, args: &ImportArgs, settings: &StorageSettings) -> Answer {
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
    let mut out = if args.json {
        let line = json!({"numbers": numbers, "sends": sends, "others": others, "ended": ended, "codes_dropped": codes_dropped});
        format!("{line}\n")
    } else if args.quiet {
        String::new()
    } else {
        let mut out = format!(
            "imported {numbers} numbers, the sends of {sends} verifications and {others} other records into {}\n",
            settings.data_dir.display()
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
    if !args.quiet
        && let Some(key_file) = key_file_needed(args, settings)
    {
        let note = format!(
            "the server needs this key from now on: set ONCEWARD_KEY_FILE={}, or copy the file to {} (mode 0600, owned by \
             the server's user)\n",
            key_file.display(),
            server_key::place(&settings.data_dir, None).display()
        );
        // Beside a line for machines, people are told on standard error.
        if args.json { err.push_str(&note) } else { out.push_str(&note) }
    }
    Answer { code: 0, out, err }
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

fn import(
    args: &ImportArgs,
    data_dir: &Path,
    key_file: Option<&Path>,
    progress: &mut Progress,
    begun: &mut bool,
) -> Result<Imported, ImportCommandError> {
    // Before a long file is read, and before a key is made.
    check_new(data_dir)?;
    let (header, mut reader) = Reader::begin(open(&args.file)?)?;
    let key = key(&header, data_dir, key_file, args.drop_codes)?;
    let (slots, kinds) = (SlotHash::new(&key), for_tools());
    let now = SystemClock::start().now();
    let mut imported = Imported { behind: header.exported_at.since(now), ..Imported::default() };
    let mut store = NewStore::begin(data_dir, key_fingerprint(&key), header.exported_at.max(now))?;
    *begun = true;
    while let Some(entry) = reader.next_entry(&kinds, &slots)? {
        progress.at(reader.line());
        let (kept, dropped) = if args.drop_codes { without_codes(entry)? } else { (Some(entry), false) };
        imported.codes_dropped += u64::from(dropped);
        if let Some(entry) = kept {
            take(&mut store, &entry, now, &mut imported)?;
        }
    }
    progress.now("finishing");
    store.finish()?;
    Ok(imported)
}

fn take(
    store: &mut NewStore,
    entry: &Entry,
    now: Timestamp,
    imported: &mut Imported,
) -> Result<(), ImportCommandError> {
    if entry.expires <= now {
        imported.ended += 1;
        return Ok(());
    }
    imported.counts.add(entry.key.kind);
    Ok(store.add(entry.key, entry.expires, &entry.record)?)
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, ImportCommandError> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, stdin())));
    }
    let opened =
        File::open(file).map_err(|source| ImportCommandError::File { path: file.to_owned(), source })?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, opened)))
}

/// The key that the new data directory belongs to.
fn key(
    header: &Header,
    data_dir: &Path,
    key_file: Option<&Path>,
    drop_codes: bool,
) -> Result<ServerKey, ImportCommandError> {
    let there = key_file.is_some() || server_key::place(data_dir, None).exists();
    if !there && !drop_codes {
        return Err(ImportCommandError::NoKey(data_dir.to_owned()));
    }
    let key = load_or_create(data_dir, key_file)?;
    if base16ct::lower::encode_string(&key_fingerprint(&key)) != header.key && !drop_codes {
        return Err(ImportCommandError::OtherKey(data_dir.to_owned()));
    }
    Ok(key)
}
