//! How sled's files are opened: read through first, and with patience for its own lock.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use super::database::{SnapshotError, guarded};

/// sled's page cache. A pass in key order gains nothing from a larger one: 4 MiB and 32 MiB gave
/// the same times with a million records, and idle memory is what it costs.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// How much of a file is read at once before sled opens it.
const READ_BYTES: usize = 256 * 1024;

/// How often and at what interval sled's own lock is tried: threads of an instance that was just
/// closed hold it a moment longer. Our own lock has excluded everybody else already.
const LOCK_TRIES: u32 = 100;
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// Reads every file of the database to its end. sled takes what it cannot read for the torn end of its log, and
/// cuts it off: a disk that fails to read once would cost what is on it. So it is given only what can be read, and
/// reads that from the system's cache.
pub(super) fn read_through(directory: &Path) -> Result<(), SnapshotError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| SnapshotError::Failed(format!("cannot read {}: {error}", path.display()))
    };
    let mut buffer = vec![0; READ_BYTES];
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let entry = entry.map_err(failed(directory))?;
        let path = entry.path();
        if entry.file_type().map_err(failed(&path))?.is_dir() {
            read_through(&path)?;
            continue;
        }
        let mut file = match File::open(&path) {
            // sled removes its old files on a thread of its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(failed(&path))?,
        };
        while file.read(&mut buffer).map_err(failed(&path))? > 0 {}
    }
    Ok(())
}

/// Opens the database at `path`, or makes one. With it comes what it was opened with.
pub(super) fn open_sled(path: &Path) -> Result<(sled::Db, sled::Config), SnapshotError> {
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let open = || guarded(|| Ok((config.open()?, config.clone())));
    for _ in 1..LOCK_TRIES {
        match open() {
            Err(SnapshotError::Failed(detail)) if detail.contains("could not acquire lock") => {
                std::thread::sleep(LOCK_INTERVAL);
            }
            result => return result,
        }
    }
    open()
}
