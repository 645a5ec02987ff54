//! `onceward check-data`: checks every record of a data directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::CommandOutput;
use super::backup::{check, name};
use super::context::Context;
use super::error::{CommandError, EXIT_DAMAGED};
use super::findings::{Findings, Verdict, fail, ok, warn};
use super::source::{self, Progress, Source, in_three, is_of};
use crate::config::StorageSettings;
use crate::http::tls::absolute;
use crate::node::kinds::for_tools;
use crate::node::{KeyError, server_key};
use crate::shard::Kinds;
use crate::store::{
    CopiedRecord, DataDirectory, JournalSummary, LiveRecords, RESTORE, RecordCounts, StoreError,
};

const PUT_BACK: &str = "put the server.key that it was written with back, or name it with ONCEWARD_KEY_FILE; see \"When a \
                        start is refused\" in docs/operate/data-directory.md";

const MEMORY_IS_INTACT: &str = "the server's memory is intact: restore no backup, and do not stop it before you have read \
                                \"Check\" in docs/operate/backup.md";

pub fn run(is_quiet: bool, cx: &Context) -> Result<CommandOutput, CommandError> {
    let settings = &cx.records_on_disk()?;
    let mut this = Check {
        settings,
        kinds: for_tools(),
        findings: Findings::default(),
        counts: RecordCounts::default(),
        versions: BTreeMap::new(),
        is_whole: true,
    };
    this.findings.figure("data_dir", settings.data_dir.display().to_string());
    let looked = match Source::of_server(&settings.data_dir) {
        Ok(source) => this.through_server(source, &mut Progress::of("checking", is_quiet)),
        Err(CommandError::Client(error)) if error.has_no_socket() => this.directory(),
        Err(CommandError::Client(error)) if error.is(StatusCode::INTERNAL_SERVER_ERROR) => {
            this.findings.add("data", fail(error.to_string(), MEMORY_IS_INTACT));
            Ok(())
        }
        Err(error) => Err(error),
    };
    match looked {
        Ok(()) => {}
        // The data directory cannot be opened, because a part of it is missing or newer.
        Err(CommandError::Open(error)) => {
            report(error, &mut this.findings)?;
            this.key(None)?;
        }
        Err(error) => return Err(error),
    }
    let mut findings = this.findings;
    findings.add(
        "data",
        match findings.verdict() {
            Verdict::Ok => ok("no damage found"),
            _ => warn("a start would be refused", "keep a copy of the directory before anything else"),
        },
    );
    Ok(findings.output(cx, EXIT_DAMAGED))
}

struct Check<'a> {
    settings: &'a StorageSettings,
    kinds: Kinds,
    findings: Findings,
    counts: RecordCounts,
    /// The numbers of records by kind and version of their encoding.
    versions: BTreeMap<(u8, u8), u64>,
    /// Whether every record was read and can be decoded.
    is_whole: bool,
}

impl Check<'_> {
    /// Counts a record, and returns what is wrong with it.
    fn record(&mut self, entry: &CopiedRecord) -> Option<String> {
        let version = entry.record.first().copied().unwrap_or_default();
        *self.counts.entry(entry.key.kind).or_default() += 1;
        *self.versions.entry((entry.key.kind, version)).or_default() += 1;
        let what = check(entry, &self.kinds).err()?;
        Some(format!("the record of {} cannot be read: {what}", name(&entry.key, &self.kinds)))
    }

    fn through_server(&mut self, source: Source, progress: &mut Progress) -> Result<(), CommandError> {
        self.findings.figure("through_server", true);
        let detail = "one runs on it: every record was checked through it, the files were not; stop it to have them checked \
                      too, or check a copy that a file system snapshot made";
        self.findings.add("server", ok(detail));
        self.key(Some(&source.key))?;
        source.each(progress, &mut |entry| {
            if let Some(what) = self.record(&entry) {
                let advice =
                    "stop the server and check again: docs/operate/data-directory.md says what can be done";
                self.findings.add("data", fail(what, advice));
            }
            Ok(())
        })?;
        self.show_counts();
        Ok(())
    }

    fn directory(&mut self) -> Result<(), CommandError> {
        let directory = source::open(self.settings)?;
        self.findings.figure("through_server", false);
        let [journal, snapshot] = ["journal", "snapshot"].map(|name| self.settings.data_dir.join(name));
        let (mut summary, mut snapshot_records) = (None, None);
        match directory.key_and_format() {
            Ok(Some((key, format))) => {
                self.findings.figure("format", format);
                if let Some(found) = self.files(&directory, &journal)? {
                    summary = Some(journal_figures(found.journal(), size_of(&journal)));
                    snapshot_records = found.snapshot_records();
                    if self.is_whole {
                        self.records(found)?;
                    }
                }
                self.key(Some(key))?;
            }
            // The first start was interrupted: the directory was never used.
            Ok(None) => {}
            Err(StoreError::ImportInterrupted { directory }) => {
                self.is_whole = false;
                let remedy = "run `onceward import` again";
                self.findings.damaged(&directory, None, "an import into it was interrupted", remedy);
            }
            Err(error) => return Err(error.into()),
        }
        self.show_counts();
        self.findings.figure("snapshot", json!({ "records": snapshot_records, "bytes": size_of(&snapshot) }));
        self.findings.figure("journal", summary);
        Ok(())
    }

    /// Reports an error that keeps records from being read.
    fn unread(&mut self, error: StoreError) -> Result<(), StoreError> {
        self.is_whole = false;
        report(error, &mut self.findings)
    }

    /// Reports each defect of the files. Returns what a start would read.
    fn files(
        &mut self,
        directory: &DataDirectory,
        journal: &Path,
    ) -> Result<Option<LiveRecords>, StoreError> {
        let found = directory.find(&mut |error| match error {
            StoreError::Io { path, reason, .. } if path.starts_with(journal) => {
                self.is_whole = false;
                self.findings.damaged(&path, None, format!("it cannot be read: {reason}"), RESTORE);
                Ok(())
            }
            error => self.unread(error),
        });
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.unread(error).map(|()| None),
        };
        if let Some((path, at, bytes)) = &found.journal().torn {
            let file = path.display();
            let detail = format!(
                "{bytes} bytes at byte {at} of {file} look like a write that was torn and never acknowledged: the next \
                 start cuts them off; damage here cannot be told from that"
            );
            self.findings.add("journal", ok(detail));
        }
        Ok(Some(found))
    }

    fn records(&mut self, found: LiveRecords) -> Result<(), StoreError> {
        let read = found.each_copied::<StoreError>(&mut |place, entry| {
            if let Some(what) = self.record(&entry) {
                self.is_whole = false;
                let (at, what) = match place.frame {
                    Some((at, sequence)) => (Some(at), format!("in frame {sequence}, {what}")),
                    None => (None, what),
                };
                self.findings.damaged(place.path, at, what, RESTORE);
            }
            Ok(())
        });
        read.or_else(|error| self.unread(error))
    }

    /// Shows the numbers, unless some records could not be read.
    fn show_counts(&mut self) {
        let counts = self.is_whole.then(|| in_three(&self.counts));
        self.findings.figure("numbers", counts.map(|(numbers, _, _)| numbers));
        self.findings.figure("sends", counts.map(|(_, sends, _)| sends));
        self.findings.figure("others", counts.map(|(_, _, others)| others));
        let named = self.versions.iter().map(|((kind, version), count)| {
            let plural = self.kinds.get(*kind).map_or("unknown records", |kind| kind.plural);
            (format!("{plural}, version {version}"), Value::from(*count))
        });
        self.findings.figure("versions", named.collect::<Map<_, _>>());
    }

    /// Checks the key. `written_with` is the fingerprint of the right key, if it is known. Fails if this user may not read
    /// the key.
    fn key(&mut self, written_with: Option<&str>) -> Result<(), KeyError> {
        let file = self.settings.server_key_file.as_deref();
        let (key, what) = match server_key::find(&self.settings.data_dir, file) {
            Ok(Some(key)) => match written_with {
                // The data does not say which key is the right one.
                None => ("present", None),
                Some(right) if is_of(&key, right) => ("fits", None),
                Some(_) => ("another", Some("the key here is not the one this data was written with")),
            },
            Ok(None) => ("missing", Some("there is no server key here")),
            Err(error) => match &error {
                KeyError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
                    ("missing", Some("the key file that is named is missing"))
                }
                KeyError::Io { source, .. } if source.kind() != ErrorKind::InvalidData => return Err(error),
                _ => ("unreadable", Some("it is not a server key, which has 64 hex digits")),
            },
        };
        self.findings.figure("key", key);
        if let Some(what) = what {
            let path = absolute(&server_key::place(&self.settings.data_dir, file));
            self.findings.damaged(&path, None, format!("{what}: a start is refused"), PUT_BACK);
        }
        Ok(())
    }
}

/// Adds what is damaged, missing or newer. Returns an error that says nothing about the data.
fn report(error: StoreError, findings: &mut Findings) -> Result<(), StoreError> {
    const UPGRADE: &str =
        "install the version that wrote it or a later one; see \"Downgrade\" in docs/operate/deploy.md";
    match error {
        StoreError::Damaged(damage) => findings.damage(damage),
        StoreError::FormatNewer { path, found, program, known } => {
            let what = format!(
                "the data has format {found}, written by onceward {program}, and this program reads formats up to {known}"
            );
            findings.damaged(&path, None, what, UPGRADE);
        }
        error => return Err(error),
    }
    Ok(())
}

fn journal_figures(found: &JournalSummary, bytes: u64) -> Value {
    let JournalSummary { segments, frames, records, oldest, newest, closed, torn } = found;
    let torn = torn.as_ref().map(|(path, at, bytes)| json!({ "file": path, "at": at, "bytes": bytes }));
    json!({
        "segments": segments, "frames": frames, "records": records, "oldest": oldest, "newest": newest,
        "closed_in_order": closed, "torn": torn, "bytes": bytes,
    })
}

/// The disk usage of what is below a directory, in bytes.
pub fn size_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size_of(&entry.path())).sum()
        }
        // Blocks are counted in 512 bytes, whatever the file system's are (POSIX, stat).
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    }
}
