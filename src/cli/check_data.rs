//! `onceward check-data`: reads a data directory as a start does, and every record in it.

use super::answer::CommandOutput;
use super::backup::check;
use super::context::Context;
use super::error::CommandError;
use super::export::{Source, is_of, said};
use crate::config::StorageSettings;
use crate::node::{KeyError, kinds, server_key};
use crate::store::StoreError;

pub fn run(cx: &Context) -> Result<CommandOutput, CommandError> {
    let settings = &cx.records_on_disk()?;
    let (source, kinds) = (Source::open(settings)?, kinds());
    check_key(settings, &source.key)?;
    let counts = source.each(&mut |entry| Ok(check(&entry, &kinds)?))?;
    let words = |records| format!("no damage found: {records}\n");
    Ok(CommandOutput::of(said(&counts, &[], cx.json, words)))
}

/// Refuses a key with which a start is refused.
fn check_key(settings: &StorageSettings, written_with: &str) -> Result<(), CommandError> {
    let directory = settings.data_dir.clone();
    match server_key::find(&directory, settings.server_key_file.as_deref())? {
        Some(key) if is_of(&key, written_with) => Ok(()),
        Some(_) => Err(StoreError::WrongKey { directory }.into()),
        None => Err(KeyError::Missing(directory).into()),
    }
}
