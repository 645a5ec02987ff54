//! Whether a stored record is one, and could be true.

use super::{Content, Item};
use crate::attempts::MOST_ROWS;
use crate::domain::TrackKey;
use crate::store::Entry;

/// Reads a record and looks whether it could be true.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn check(entry: &Entry) -> Result<(), String> {
    let item = Item::decode(entry).map_err(|error| error.to_string())?;
    match &item.content {
        Content::Number(_, _, state) => match state.ends() {
            None => Err("it says nothing".into()),
            Some(end) if end != entry.gc_after => {
                Err("it is not kept for as long as it says of itself".into())
            }
            Some(_) => Ok(()),
        },
        Content::Sends(key, track) => {
            if track.rows.len() > MOST_ROWS {
                return Err(format!("it has {} attempts, more than any can have", track.rows.len()));
            }
            if track
                .plan
                .as_ref()
                .is_some_and(|plan| TrackKey::new(key.service, plan.salt.track(), key.slot()) != *key)
            {
                return Err("it plans a message of another verification".into());
            }
            Ok(())
        }
        Content::Other(_) => Ok(()),
    }
}

/// Whose record it is, as a message may say it: a number is masked.
pub fn name(entry: &Entry) -> String {
    super::write::name(entry)
}
