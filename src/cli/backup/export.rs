//! `onceward export`: everything as of one moment, as lines of JSON.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::progress::Progress;
use super::source::{Source, SourceError};
use super::{EXIT_DAMAGED, EXIT_FAILED, failed, in_three};
use crate::backup::{ExportError, Header, Writer};
use crate::cli::Answer;
use crate::cli::args::ExportArgs;
use crate::config::StorageSettings;
use crate::node::kinds::for_tools;
use crate::store::Counts;

/// Bytes written at once.
const BUFFER_BYTES: usize = 256 * 1024;

#[derive(Debug, thiserror::Error)]
enum ExportCommandError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Out(#[from] OutError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("read the records: {0}; export again")]
    Read(io::Error),
}

pub(super) fn run(args: &ExportArgs, settings: &StorageSettings) -> Answer {
    let out = match Out::open(args.out.as_deref()) {
        Ok(out) => out,
        Err(error) => return failed(EXIT_FAILED, &error),
    };
    let is_stdout = out.is_stdout();
    let mut progress = Progress::of("copying", args.quiet);
    let exported = export(&out, settings, &mut progress);
    progress.end();
    let exported = match exported {
        Ok(exported) => out.complete().map(|()| exported).map_err(Into::into),
        Err(error) => {
            out.give_up();
            Err(error)
        }
    };
    match exported {
        Ok((counts, served)) => {
            let (numbers, sends, others) = in_three(&counts);
            let said = if args.json {
                format!(
                    "{}\n",
                    json!({"numbers": numbers, "sends": sends, "others": others, "through_server": served})
                )
            } else if args.quiet {
                String::new()
            } else {
                format!(
                    "exported {numbers} numbers, the sends of {sends} verifications and {others} other records\nkeep it secret: it \
                     contains whole phone numbers, webhook secrets and the codes of test numbers, and no other codes\n"
                )
            };
            let (out, err) = if is_stdout { (String::new(), said) } else { (said, String::new()) };
            Answer { code: 0, out, err }
        }
        Err(error @ ExportCommandError::Export(ExportError::Record { .. })) => failed(EXIT_DAMAGED, &error),
        Err(ExportCommandError::Source(error)) if error.damage().is_some() => failed(EXIT_DAMAGED, &error),
        Err(error) => failed(EXIT_FAILED, &error),
    }
}

fn export(
    out: &Out,
    settings: &StorageSettings,
    progress: &mut Progress,
) -> Result<(Counts, bool), ExportCommandError> {
    let Source { mut records, counts, key, at, served } = Source::open(&settings.data_dir, progress)?;
    let kinds = for_tools();
    progress.now("exporting");
    progress.expect(counts.total());
    let header = Header { program: env!("CARGO_PKG_VERSION").to_owned(), exported_at: at, key };
    let to = out.writer().map_err(ExportError::from)?;
    let mut writer = Writer::begin(BufWriter::with_capacity(BUFFER_BYTES, to), &header)?;
    let mut written = 0;
    while let Some(entry) = records.next_entry().map_err(ExportCommandError::Read)? {
        writer.write(&entry, &kinds)?;
        written += 1;
        progress.at(written);
    }
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

#[derive(Debug, thiserror::Error)]
enum OutError {
    #[error(
        "an export has whole telephone numbers in it, which a terminal is no place for; name a file with --out FILE, or \
         print them all the same with --out -"
    )]
    Terminal,
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl Out {
    /// `-` is standard output. So is no name, unless standard output is a terminal.
    fn open(name: Option<&Path>) -> Result<Self, OutError> {
        let path = match name {
            None if stdout().is_terminal() => return Err(OutError::Terminal),
            None => return Ok(Self::Stdout),
            Some(path) if path == Path::new("-") => return Ok(Self::Stdout),
            // A link stays one.
            Some(path) => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        };
        let failed = |action| {
            let path = path.clone();
            move |source| OutError::Io { action, path, source }
        };
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            let file = OpenOptions::new().write(true).open(&path).map_err(failed("write to"))?;
            return Ok(Self::Device(file));
        }
        let mut unfinished = path.file_name().unwrap_or_default().to_owned();
        unfinished.push(format!(".{}.unfinished", std::process::id()));
        let unfinished = path.with_file_name(unfinished);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let file = file.map_err(failed("write a file beside"))?;
        Ok(Self::File { file, unfinished, path })
    }

    fn writer(&self) -> io::Result<Box<dyn Write>> {
        Ok(match self {
            Self::Stdout => Box::new(stdout()),
            Self::Device(file) | Self::File { file, .. } => Box::new(file.try_clone()?),
        })
    }

    const fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout)
    }

    /// Gives the file its name: the export is complete.
    fn complete(self) -> Result<(), OutError> {
        let Self::File { file, unfinished, path } = self else { return Ok(()) };
        let finish = || {
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        finish().map_err(|source| {
            let _ = fs::remove_file(&unfinished);
            OutError::Io { action: "finish", path: path.clone(), source }
        })
    }

    /// Removes the file: the export is not complete.
    fn give_up(self) {
        if let Self::File { unfinished, .. } = self {
            let _ = fs::remove_file(unfinished);
        }
    }
}
