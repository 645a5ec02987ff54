//! Numbers that are in a store before a server opens it, each waiting for its code.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::{CodeLength, PhoneNumber, ServerKey, ServiceId, Timestamp};
use crate::engine::{NumberState, Salt, Tally, Verification, key_fingerprint};
use crate::numbers::record;
use crate::store::{EmbeddedStore, OpenOptions, Revision, Store, Write};

use super::BenchError;
use super::numbers;

/// Numbers that are written at once.
const BATCH: u64 = 10_000;

/// For one batch: only a disk that is much too slow takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Of a data directory that is filled. Protects nothing: the numbers are made up.
const KEY: [u8; ServerKey::LEN] = [7; ServerKey::LEN];

/// Makes a data directory with its key.
///
/// # Errors
///
/// It is there already, or cannot be written.
pub fn make_data_dir(data: &Path) -> Result<(), BenchError> {
    let path = data.join("server.key");
    let text = format!("{}\n", KEY.map(|byte| format!("{byte:02x}")).concat());
    fs::DirBuilder::new()
        .mode(0o700)
        .create(data)
        .and_then(|()| fs::write(&path, text))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
        .map_err(BenchError::io(format!("make the data directory {}", data.display())))
}

/// Opens the store of a directory that [`make_data_dir`] made, at a time that a clock says.
///
/// # Errors
///
/// It cannot be opened.
pub async fn open(data: &Path, clock: Arc<dyn Clock>) -> Result<EmbeddedStore, BenchError> {
    let fingerprint = key_fingerprint(&ServerKey::from_bytes(KEY));
    let options = OpenOptions::new(data, fingerprint, clock);
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(options)).await;
    let opened = opened.map_err(|error| BenchError::Store(error.to_string()))?;
    opened.map_err(|error| BenchError::Store(error.to_string()))
}

/// When what is written ends.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// The code.
    pub code: Timestamp,
    /// The number's record.
    pub record: Timestamp,
}

/// Writes numbers that each wait for a code; `passes` hears how many there are so far.
///
/// # Errors
///
/// The store does not take them.
pub async fn fill(
    store: &EmbeddedStore,
    numbers: Range<u64>,
    ends: Ends,
    passes: impl Fn(u64),
) -> Result<(), BenchError> {
    let mut from = numbers.start;
    while from < numbers.end {
        let to = numbers.end.min(from + BATCH);
        let writes: Option<Vec<Write>> = (from..to).map(|index| open_number(index, ends)).collect();
        let writes = writes.ok_or_else(|| BenchError::Store("a number is not possible".to_owned()))?;
        store.cas(writes, PATIENCE).await.map_err(|error| BenchError::Store(error.to_string()))?;
        from = to;
        passes(from - numbers.start);
    }
    Ok(())
}

/// A number that waits for its code, as most do.
fn open_number(index: u64, ends: Ends) -> Option<Write> {
    let number = PhoneNumber::from_u64(numbers::live(index))?;
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&index.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    let verification = Verification {
        salt: Salt(salt),
        length: CodeLength::SIX,
        expires: ends.code,
        sending: 0,
        sending_until: Timestamp::EPOCH,
        sent: true,
        postponed: false,
        held: None,
        checking_until: Timestamp::EPOCH,
        counted: None,
    };
    let state = NumberState::Open {
        failures: 0,
        keep_until: ends.record,
        tally: Tally::NONE,
        verification: Some(verification),
    };
    let key = record::key_of(ServiceId::DEFAULT, number);
    Some(Write { key, expect: Revision::ABSENT, put: record::encode(&state), gc_after: ends.record })
}
