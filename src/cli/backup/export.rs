//! `onceward export`: everything as of one moment, as lines of JSON.

use std::io::{self, BufWriter};

use serde_json::json;

use super::out::{Out, OutError};
use super::progress::Progress;
use super::source::{Source, SourceError};
use super::{EXIT_DAMAGED, EXIT_FAILED, failed};
use crate::app::shards::every_kind;
use crate::attempts::Track;
use crate::backup::{ExportError, Header, Writer};
use crate::cli::Answer;
use crate::cli::args::ExportArgs;
use crate::config::StorageSettings;
use crate::engine::NumberState;
use crate::shard::Record;

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

/// Exports.
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
        Ok(header) => out.complete().map(|()| header).map_err(Into::into),
        Err(error) => {
            out.give_up();
            Err(error)
        }
    };
    match exported {
        Ok((header, served)) => {
            let of = |plural: &str| header.records.get(plural).copied().unwrap_or(0);
            let (numbers, sends) = (of(NumberState::PLURAL), of(Track::PLURAL));
            let others = header.records.values().sum::<u64>() - numbers - sends;
            let said = if args.json {
                format!(
                    "{}\n",
                    json!({"numbers": numbers, "sends": sends, "others": others, "through_server": served})
                )
            } else if args.quiet {
                String::new()
            } else {
                format!(
                    "exported {numbers} numbers, the sends of {sends} verifications and {others} other records\nkeep it secret: it has whole telephone numbers \
                     in it, and no codes\n"
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
) -> Result<(Header, bool), ExportCommandError> {
    let Source { mut records, counts, key, at, served } = Source::open(&settings.data_dir, progress)?;
    let kinds = every_kind();
    progress.now("exporting");
    progress.expect(counts.total());
    let header = Header {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        exported_at: at,
        key,
        records: counts
            .iter()
            .filter_map(|(kind, count)| Some((kinds.get(kind)?.plural.to_owned(), count)))
            .collect(),
    };
    let to = out.writer().map_err(ExportError::from)?;
    let mut writer = Writer::begin(BufWriter::with_capacity(BUFFER_BYTES, to), &header)?;
    let mut written = 0;
    while let Some(entry) = records.next_entry().map_err(ExportCommandError::Read)? {
        writer.write(&entry, &kinds)?;
        written += 1;
        progress.at(written);
    }
    writer.finish()?;
    Ok((header, served))
}
