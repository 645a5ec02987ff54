//! `onceward export`: everything as of one moment, as lines of JSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, stdout};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::NamedTempFile;

use super::answer::{CommandOutput, json_line};
use super::backup::{CopiedRecord, ExportError, Header, Writer};
use super::context::Context;
use super::error::CommandError;
use crate::config::StorageSettings;
use crate::delivery::attempts::AttemptLog;
use crate::domain::{ServerKey, Timestamp};
use crate::engine::{NumberState, key_fingerprint};
use crate::http::tls::absolute;
use crate::node::kinds;
use crate::shard::Record as _;
use crate::store::LiveRecords;

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Write to this file, which only you can read and which appears when it is complete; "-" is standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Bytes written at once.
const BUFFER_BYTES: usize = 256 * 1024;

const TERMINAL: &str = "an export has whole phone numbers in it, which a terminal is no place for; name a file with \
                        --out FILE, or print them all the same with --out -";

pub fn run(args: &ExportArgs, cx: &Context) -> Result<CommandOutput, CommandError> {
    let settings = cx.records_on_disk()?;
    let out = Out::open(args.out.as_deref())?;
    let is_stdout = out.unfinished.is_none();
    let source = Source::open(&settings)?;
    let kinds = kinds();
    let header = Header::new(source.at, source.key.clone());
    let mut writer = Writer::begin(BufWriter::with_capacity(BUFFER_BYTES, &out.to), &header)?;
    let counts = source.each(&mut |entry| Ok(writer.write(&entry, &kinds)?))?;
    writer.finish()?;
    out.complete()?;
    let said = said(&counts, &[], cx.json, |records| {
        format!(
            "exported {records}\nkeep it secret: it contains whole phone numbers, webhook secrets and the codes of test numbers, \
             and no other codes\n"
        )
    });
    Ok(if is_stdout {
        CommandOutput { err: said, ..CommandOutput::default() }
    } else {
        CommandOutput::of(said)
    })
}

/// Where an export is written to. A file under its own name is always a whole export: it is written under another
/// name, and renamed when it is complete and on the disk.
struct Out {
    to: File,
    /// In a directory that others may write to, no file of theirs is used: its name is new. Removed unless it is complete.
    /// `None` for standard output.
    unfinished: Option<(NamedTempFile, PathBuf)>,
}

impl Out {
    /// `-` is standard output, and so is an absent name, unless standard output is a terminal.
    fn open(name: Option<&Path>) -> Result<Self, CommandError> {
        let path = match name {
            None if stdout().is_terminal() => return Err(CommandError::Failed(TERMINAL.to_owned())),
            Some(path) if path != Path::new("-") => path,
            _ => {
                let to = stdout().as_fd().try_clone_to_owned().map_err(ExportError::from)?;
                return Ok(Self { to: to.into(), unfinished: None });
            }
        };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        let made = tempfile::Builder::new().prefix(&name).suffix(".unfinished").tempfile_in(parent(path));
        let unfinished = made.map_err(CommandError::of_file("write into the directory of", path))?;
        let to = unfinished.as_file().try_clone().map_err(ExportError::from)?;
        Ok(Self { to, unfinished: Some((unfinished, path.to_owned())) })
    }

    fn complete(self) -> Result<(), CommandError> {
        let Some((unfinished, path)) = self.unfinished else { return Ok(()) };
        let synced = unfinished.as_file().sync_all();
        let renamed = synced.and_then(|()| Ok(unfinished.persist(&path)?));
        let done = renamed.and_then(|_| File::open(parent(&path))?.sync_all());
        done.map_err(CommandError::of_file("finish", &path))
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

// The records of a data directory, on which a server may run.

/// The number of records of each kind.
pub type RecordCounts = BTreeMap<u8, u64>;

/// Every record as of one moment. Nothing in the directory changes.
pub struct Source {
    records: LiveRecords,
    /// The fingerprint of the server key.
    pub key: String,
    pub at: Timestamp,
}

impl Source {
    pub fn open(settings: &StorageSettings) -> Result<Self, CommandError> {
        let found = LiveRecords::read(&settings.data_dir)?;
        let shown = || absolute(&settings.data_dir).display().to_string();
        let (key, records) = found.ok_or_else(|| CommandError::NoData(shown()))?;
        Ok(Self { key, at: records.newest_time(), records })
    }

    /// Passes every record to `visit`. Returns their numbers.
    pub fn each(
        self,
        visit: &mut dyn FnMut(CopiedRecord) -> Result<(), CommandError>,
    ) -> Result<RecordCounts, CommandError> {
        let mut counts = RecordCounts::default();
        self.records.each(self.at, &mut |key, expires, record| {
            *counts.entry(key.kind).or_default() += 1;
            visit(CopiedRecord { key, expires, record: Bytes::copy_from_slice(record) })
        })?;
        Ok(counts)
    }
}

/// What a command prints about so many records: words with their numbers, or JSON with `more` figures.
pub fn said(
    counts: &RecordCounts,
    more: &[(&str, u64)],
    json: bool,
    words: impl FnOnce(String) -> String,
) -> String {
    let of = |kind| counts.get(&kind).copied().unwrap_or_default();
    let (numbers, sends) = (of(NumberState::KIND), of(AttemptLog::KIND));
    let others = counts.values().sum::<u64>() - numbers - sends;
    if json {
        let figures = [("numbers", numbers), ("sends", sends), ("others", others)];
        json_line(&figures.iter().chain(more).copied().collect::<BTreeMap<_, _>>())
    } else {
        words(format!("{numbers} numbers, the sends of {sends} verifications and {others} other records"))
    }
}

/// Whether this is the key with a fingerprint in hexadecimal digits.
pub fn is_of(key: &ServerKey, fingerprint: &str) -> bool {
    base16ct::lower::encode_string(&key_fingerprint(key)) == fingerprint
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_export_takes_its_place_whole_or_not_at_all() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("all.jsonl");
        fs::write(&path, "the last export").expect("a file");
        let begin = || {
            let out = Out::open(Some(&path)).expect("a file");
            (&out.to).write_all(b"export").expect("written");
            out
        };
        drop(begin());
        assert_eq!(fs::read_to_string(&path).expect("an export"), "the last export");
        begin().complete().expect("complete");
        assert_eq!(fs::read_to_string(&path).expect("an export"), "export");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 1, "nothing else is left");
    }
}
