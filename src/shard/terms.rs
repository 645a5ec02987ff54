//! Records whose times nobody can vouch for: nothing of them may outlast its term.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Policies;
use super::StartError;
use super::fill::LoadError;
use super::record;
use crate::domain::Timestamp;
use crate::engine::NumberState;
use crate::store::{Key, Kind, Outcome, Revision, Store, Write};

/// Records that are written at once.
const BATCH: usize = 1024;

/// Records that are remembered at once, some 60 MB: the store is read again for the next ones, so that ten million of
/// them take time but not memory. Few in unit tests, which have few.
const AT_ONCE: usize = if cfg!(test) { 3 } else { 500_000 };

#[derive(Default)]
struct Found {
    outlasting: Vec<Outlasting>,
    damage: Option<record::StateRecordError>,
}

/// Shortens every lockout and every code that would last longer than one that begins at `now`, durably,
/// and answers how many numbers had one. Before the shards are loaded: nobody else writes.
///
/// # Errors
/// When the store cannot be read or written. It may be repeated.
pub async fn keep_within(
    store: &Arc<dyn Store>,
    policies: &Policies,
    now: Timestamp,
    timeout: Duration,
) -> Result<usize, StartError> {
    let mut shortened = 0;
    loop {
        let found = outlasting(store, policies, now).await?;
        for batch in found.chunks(BATCH) {
            shorten(store, batch, now, timeout).await?;
        }
        shortened += found.len();
        if found.len() < AT_ONCE {
            return Ok(shortened);
        }
    }
}

type Outlasting = (Key, Revision, NumberState);

/// The first of the records that have to be shortened, and what they become.
async fn outlasting(
    store: &Arc<dyn Store>,
    policies: &Policies,
    now: Timestamp,
) -> Result<Vec<Outlasting>, StartError> {
    let found = Arc::new(Mutex::new(Found::default()));
    let (into, rules) = (Arc::clone(&found), policies.clone());
    let visit = move |key: Key, revision, bytes: &[u8]| {
        let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
        match record::decode(bytes) {
            Ok(state) => {
                let kept = state.clamp_deadlines(&rules.of(key.service), now);
                if kept != state && into.outlasting.len() < AT_ONCE {
                    into.outlasting.push((key, revision, kept));
                }
            }
            Err(error) => into.damage = Some(error),
        }
    };
    let unreadable = |error: LoadError| StartError::new(error.to_string());
    store.scan(Kind::Number, Box::new(visit)).await.map_err(|error| unreadable(error.into()))?;
    let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some(damage) = found.damage {
        return Err(unreadable(damage.into()));
    }
    Ok(found.outlasting)
}

async fn shorten(
    store: &Arc<dyn Store>,
    batch: &[Outlasting],
    now: Timestamp,
    timeout: Duration,
) -> Result<(), StartError> {
    let failed =
        |error: &dyn std::fmt::Display| StartError::new(format!("shorten lockouts and codes: {error}"));
    let write = |&(key, expect, state): &Outlasting| Write {
        key,
        expect,
        put: record::encode(&state),
        gc_after: state.ends().unwrap_or(now),
    };
    let written = store.cas(batch.iter().map(write).collect(), timeout).await;
    let written = written.map_err(|error| failed(&error))?;
    if written.iter().any(|outcome| matches!(outcome, Outcome::Conflict(_))) {
        return Err(failed(&"somebody else writes the records of numbers"));
    }
    Ok(())
}
