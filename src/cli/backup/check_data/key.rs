//! Whether the server key that a start would find is the one that the data was written with.

use std::io::ErrorKind;

use serde::Serialize;

use super::Damage;
use crate::app::KeyError;
use crate::app::server_key;
use crate::config::StorageSettings;
use crate::engine::key_fingerprint;

/// What to do about a key that is not the right one.
const PUT_BACK: &str = "put the server.key that it was written with back, or name it with ONCEWARD_KEY_FILE; see \"When a \
                        start is refused\" in docs/data-directory.md";

/// What was found where a start looks for the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeyFound {
    /// The right one.
    Fits,
    /// One, and it is not known which is the right one.
    Present,
    /// Another one.
    Another,
    /// Something that is no key.
    Unreadable,
    /// None.
    Missing,
}

/// Looks, and adds to `damage` what would have a start refused. `written_with` tells the right key from others; `None`
/// if that is not known.
///
/// # Errors
/// When there is a key that this user may not read.
pub(super) fn look(
    settings: &StorageSettings,
    written_with: Option<&str>,
    damage: &mut Vec<Damage>,
) -> Result<KeyFound, KeyError> {
    let (key, what) = found(settings, written_with)?;
    if let Some(what) = what {
        let file = server_key::place(&settings.data_dir, settings.server_key_file.as_deref());
        let file = Some(std::path::absolute(&file).unwrap_or(file).display().to_string());
        damage.push(Damage { file, at: None, what: what.to_owned(), advice: PUT_BACK.to_owned() });
    }
    Ok(key)
}

/// The same while a server runs. That it found its key where this command does not look is no damage.
///
/// # Errors
/// As [`look`].
pub(super) fn look_beside_a_server(
    settings: &StorageSettings,
    written_with: &str,
    damage: &mut Vec<Damage>,
) -> Result<KeyFound, KeyError> {
    if settings.server_key_file.is_none() && matches!(server_key::find(&settings.data_dir, None), Ok(None)) {
        return Ok(KeyFound::Missing);
    }
    look(settings, Some(written_with), damage)
}

fn found(
    settings: &StorageSettings,
    written_with: Option<&str>,
) -> Result<(KeyFound, Option<&'static str>), KeyError> {
    Ok(match server_key::find(&settings.data_dir, settings.server_key_file.as_deref()) {
        Ok(Some(key)) => {
            let fingerprint = base16ct::lower::encode_string(&key_fingerprint(&key));
            match written_with {
                None => (KeyFound::Present, None),
                Some(right) if right == fingerprint => (KeyFound::Fits, None),
                Some(_) => (
                    KeyFound::Another,
                    Some("the key here is not the one this data was written with: a start is refused"),
                ),
            }
        }
        Ok(None) => (KeyFound::Missing, Some("there is no server key here: a start is refused")),
        Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            (KeyFound::Missing, Some("the key file that is named is missing: a start is refused"))
        }
        Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::InvalidData => UNREADABLE,
        Err(KeyError::Unreadable(_)) => UNREADABLE,
        Err(error) => return Err(error),
    })
}

const UNREADABLE: (KeyFound, Option<&str>) =
    (KeyFound::Unreadable, Some("it is not a server key, which has 64 hex digits: a start is refused"));
