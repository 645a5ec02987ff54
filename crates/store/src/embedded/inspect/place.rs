//! A place for what is copied out of a data directory.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::super::copy::{FILE_NAME, nameless};
use super::super::error::{OpenError, is_of_a_full_disk, refusal_in};

/// Has a file without a name filled: in the data directory, where there is a disk for data; once more in the system's
/// directory for such things if the first cannot be written to, or is full before `fill` is done.
pub(super) fn with_file<T>(
    directory: &Path,
    fill: impl Fn(File) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let beside = directory.join(FILE_NAME);
    let first = match attempt(&beside, &fill) {
        Err(Failed::NoPlace(why)) => why,
        Err(Failed::Other(error)) => return Err(error),
        Ok(done) => return Ok(done),
    };
    let elsewhere = std::env::temp_dir().join(format!("onceward-{}-{FILE_NAME}", std::process::id()));
    attempt(&elsewhere, &fill).map_err(|failed| match failed {
        Failed::NoPlace(second) => no_place(beside, first, elsewhere, second),
        Failed::Other(error) => error,
    })
}

fn no_place(beside: PathBuf, first: String, elsewhere: PathBuf, second: String) -> OpenError {
    OpenError::NoPlaceToRead { beside, first, elsewhere, second }
}

/// Why a place was of no use.
enum Failed {
    /// It cannot be written to, or is full: another may do.
    NoPlace(String),
    Other(OpenError),
}

fn attempt<T>(path: &Path, fill: impl Fn(File) -> Result<T, OpenError>) -> Result<T, Failed> {
    let to = nameless(path).map_err(|error| Failed::NoPlace(error.to_string()))?;
    fill(to).map_err(|error| match error {
        OpenError::SnapshotRefused { detail, .. } if refusal_in(&detail).is_some_and(is_of_a_full_disk) => {
            Failed::NoPlace(detail)
        }
        error => Failed::Other(error),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn where_there_is_no_room_another_place_is_tried_and_then_it_is_said_what_to_do() {
        let home = tempfile::tempdir().expect("a directory");
        let tried = Cell::new(0);
        let full = |refused: usize| {
            tried.set(tried.get() + 1);
            if tried.get() > refused {
                return Ok(());
            }
            let detail = "cannot write: No space left on device".to_owned();
            Err(OpenError::SnapshotRefused { path: home.path().to_owned(), detail })
        };
        with_file(home.path(), |_| full(1)).expect("a second place");
        assert_eq!(tried.replace(0), 2);
        let error = with_file(home.path(), |_| full(2)).expect_err("no place");
        assert!(matches!(error, OpenError::NoPlaceToRead { .. }), "{error}");
        assert!(
            error.to_string().contains("TMPDIR") && !error.to_string().contains("start again"),
            "{error}"
        );
        // What is wrong with the data is no better elsewhere.
        tried.set(0);
        let damaged = with_file(home.path(), |_| -> Result<(), OpenError> {
            tried.set(tried.get() + 1);
            Err(OpenError::SnapshotDamaged { path: home.path().to_owned(), detail: "no".into() })
        });
        assert!(matches!(damaged, Err(OpenError::SnapshotDamaged { .. })));
        assert_eq!(tried.get(), 1);
        // One that cannot be written to.
        let elsewhere = with_file(&home.path().join("missing"), |_| Ok(())).is_ok();
        assert!(elsewhere);
        assert_eq!(std::fs::read_dir(home.path()).expect("readable").count(), 0);
    }
}
