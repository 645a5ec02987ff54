//! The end that asks. Blocks: it is for the command line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::wire::{Reply, Request};
use super::{ControlError, path_in};

/// Longest line of an answer that is read, in bytes.
const LONGEST_LINE: u64 = 64 * 1024;

/// The longest silence: the server reads every record before it answers.
const SILENCE: Duration = Duration::from_secs(60);

/// Asks the server that runs on `data_dir`, and hands over the lines of its answer.
///
/// # Errors
/// [`ControlError::NoServer`] when no server runs there, so that the caller may open the store
/// itself. After any error the lines handed over are a part of the answer only.
pub fn ask(
    data_dir: &Path,
    request: &Request,
    mut line: impl FnMut(serde_json::Value),
) -> Result<(), ControlError> {
    let (path, mut answer) = put(data_dir, request)?;
    loop {
        match next_reply(&mut answer, &path)? {
            Reply::Line(found) => line(found),
            Reply::End => return Ok(()),
            Reply::Error(error) => return Err(ControlError::Refused(error)),
            Reply::Bytes(_) => return Err(incomplete(&"it is of another kind")),
        }
    }
}

/// Connects and asks.
pub(super) fn put(
    data_dir: &Path,
    request: &Request,
) -> Result<(PathBuf, BufReader<UnixStream>), ControlError> {
    let path = path_in(data_dir)?;
    let mut stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ControlError::NoServer(path.clone()),
        io::ErrorKind::PermissionDenied => ControlError::NotAllowed(path.clone()),
        _ => ControlError::io("connect to", &path)(error),
    })?;
    let mut question = serde_json::to_vec(request).map_err(|error| incomplete(&error))?;
    question.push(b'\n');
    stream
        .set_read_timeout(Some(SILENCE))
        .and_then(|()| stream.set_write_timeout(Some(SILENCE)))
        .and_then(|()| stream.write_all(&question))
        .map_err(ControlError::io("ask on", &path))?;
    Ok((path, BufReader::new(stream)))
}

/// The next line of the answer.
pub(super) fn next_reply(answer: &mut BufReader<UnixStream>, path: &Path) -> Result<Reply, ControlError> {
    let mut bytes = Vec::new();
    let read = answer.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes);
    if read.map_err(ControlError::io("read from", path))? == 0 {
        return Err(incomplete(&"it ended early"));
    }
    serde_json::from_slice(&bytes).map_err(|error| incomplete(&error))
}

pub(super) fn incomplete(error: &dyn std::fmt::Display) -> ControlError {
    ControlError::Incomplete(error.to_string())
}
