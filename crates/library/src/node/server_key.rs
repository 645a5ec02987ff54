//! The server key: read it, or make it at the first start.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rand::TryRng;
use rand::rngs::SysRng;
use tempfile::NamedTempFile;

use crate::config::is_readable_by_others;
use crate::domain::ServerKey;
use crate::store::{advice, create_durably};

/// The key's file in the data directory: 64 hex digits and a line end.
const FILE_NAME: &str = "server.key";

/// File names that a used data directory contains.
const USED_MARKS: [&str; 3] = ["FORMAT", "journal", "snapshot"];

/// Why there is no server key, or why the file system refused another secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system said no.
    #[error("cannot {what} {path}: {source}{}", advice(&source.to_string()))]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    /// The file is not a key.
    #[error(
        "{0} is not a server key: it must be a file with 64 hex digits; put the right file back, \
         or name another with ONCEWARD_KEY_FILE"
    )]
    Unreadable(PathBuf),
    /// Data without its key.
    #[error(
        "{0} holds data but no server.key: live codes cannot be checked without the key they were \
         made with; put the file back from a backup, or name it with ONCEWARD_KEY_FILE; if the key is lost, see \
         \"Without server.key\" in docs/operate/backup.md"
    )]
    Missing(PathBuf),
}

/// Reads the key from `file` if one is named, else from the data directory, where it is made at
/// the first start.
pub fn load_or_create(data_dir: &Path, file: Option<&Path>) -> Result<ServerKey, KeyError> {
    // Absolute, so that an error names a place and not only "data".
    let data_dir = &std::path::absolute(data_dir).map_err(io_error("find", data_dir))?;
    let named = place(data_dir, file);
    if is_readable_by_others(&named) {
        tracing::warn!(file = %named.display(), "server key readable by every user; run chmod o= on it");
    }
    // Asked first: another first start may make the key, and then its data, meanwhile.
    let is_unused = is_unused(data_dir);
    match find(data_dir, file)? {
        Some(key) => Ok(key),
        None if is_unused => create(data_dir, &named),
        None => Err(KeyError::Missing(data_dir.to_owned())),
    }
}

/// Returns `true` if no server has kept data in this directory.
pub fn is_unused(data_dir: &Path) -> bool {
    !USED_MARKS.iter().any(|mark| may_exist(&data_dir.join(mark)))
}

/// Whether the file exists, or cannot be seen: reading it then says why.
fn may_exist(file: &Path) -> bool {
    file.try_exists().unwrap_or(true)
}

/// Reads the key from `file` if one is named, else from the data directory; `None` if there is none in that. Makes
/// none.
pub fn find(data_dir: &Path, file: Option<&Path>) -> Result<Option<ServerKey>, KeyError> {
    let path = place(data_dir, file);
    if file.is_some() || may_exist(&path) { read(&path).map(Some) } else { Ok(None) }
}

/// Where the key is looked for.
pub fn place(data_dir: &Path, file: Option<&Path>) -> PathBuf {
    file.map_or_else(|| data_dir.join(FILE_NAME), Path::to_owned)
}

fn read(path: &Path) -> Result<ServerKey, KeyError> {
    let text = fs::read_to_string(path).map_err(io_error("read the server key", path))?;
    let text = zeroize::Zeroizing::new(text);
    let mut bytes = [0; ServerKey::LEN];
    match base16ct::mixed::decode(text.trim(), &mut bytes) {
        Ok(decoded) if decoded.len() == ServerKey::LEN => Ok(ServerKey::from_bytes(bytes)),
        _ => Err(KeyError::Unreadable(path.to_owned())),
    }
}

/// The file appears whole or not at all: two first starts at once end up with one key.
fn create(data_dir: &Path, path: &Path) -> Result<ServerKey, KeyError> {
    // An existing directory keeps its mode: it may be a volume that is not ours to change.
    create_durably(data_dir).map_err(io_error("create the data directory", data_dir))?;
    let mut bytes = [0; ServerKey::LEN];
    let drawn = SysRng.try_fill_bytes(&mut bytes);
    drawn.map_err(|error| io_error("draw the server key", path)(io::Error::other(error)))?;
    let key = ServerKey::from_bytes(bytes);
    let hex = zeroize::Zeroizing::new(base16ct::lower::encode_string(key.expose()) + "\n");
    match write_secret(path, hex.as_bytes(), false) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return read(path),
        Err(error) => return Err(io_error("write the server key", path)(error)),
    }
    tracing::info!(file = %path.display(), "server key created; keep a copy of it, apart from copies of the data");
    Ok(key)
}

/// Writes a file that only its owner can read, durably and as a whole. It may take the place of another.
pub(super) fn write_secret(path: &Path, bytes: &[u8], replaces: bool) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    let mut file = NamedTempFile::with_prefix_in(".unfinished-secret-", directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    // By calls of libc, which the test of power losses notes; those of tempfile are none.
    if replaces { fs::rename(file.path(), path) } else { fs::hard_link(file.path(), path) }?;
    drop(file);
    File::open(directory)?.sync_all()
}

pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_that_was_there_before_keeps_its_mode() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).expect("set");
        load_or_create(dir.path(), None).expect("a key");
        let mode = fs::metadata(dir.path()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
    }

    #[test]
    fn a_directory_that_cannot_be_seen_is_not_a_new_one() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert!(!is_unused(file.path()));
        let error = load_or_create(file.path(), None).expect_err("no key").to_string();
        assert!(error.contains("Not a directory"), "{error}");
    }

    #[test]
    fn a_named_file_has_a_key_or_is_refused_without_showing_its_contents() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("key");
        let load = || load_or_create(dir.path(), Some(&file));
        assert!(load().is_err(), "it is missing");
        fs::write(&file, format!("{}\n", "ab".repeat(32))).expect("a file");
        assert_eq!(load().expect("a key").expose(), &[0xab; 32]);
        let of_length = [62, 63, 65].map(|length| "1".repeat(length));
        let others = ["", "cab", &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)].map(str::to_owned);
        for contents in of_length.into_iter().chain(others) {
            fs::write(&file, &contents).expect("a file");
            let error = load().expect_err("not a key").to_string();
            assert!(error.contains("64 hex digits"), "{error}");
            assert!(contents.len() < 60 || !error.contains(&contents), "{error}");
        }
    }
}
