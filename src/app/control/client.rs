//! The end that asks. Blocks: it is for the command line.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::path_in;
use super::wire::{ControlError, ControlReply, ControlRequest, CopyNews};

/// Longest line of an answer that is read, in bytes.
const LONGEST_LINE: u64 = 64 * 1024;

/// The longest silence: the server reads every record before it answers.
const SILENCE: Duration = Duration::from_secs(60);

/// Asks the server that runs on `data_dir`, and returns the lines of its answer. Without a server the error is
/// [`ControlError::NoServer`]: the caller may open the store itself.
pub fn ask(data_dir: &Path, request: &ControlRequest) -> Result<Vec<Value>, ControlError> {
    let (path, mut answer) = put(data_dir, request)?;
    let mut lines = Vec::new();
    loop {
        match next_reply(&mut answer, &path)? {
            ControlReply::Line(line) => lines.push(line),
            ControlReply::End => return Ok(lines),
            ControlReply::Error(error) => return Err(ControlError::Refused(error)),
            ControlReply::Bytes(_) => return Err(incomplete(&"it is of another kind")),
        }
    }
}

/// The bytes of a copy, as [`crate::store::CopyReader`] reads them.
#[derive(Debug)]
pub struct CopyStream {
    answer: BufReader<UnixStream>,
    path: PathBuf,
    /// Bytes to come before the next line.
    left: usize,
    ended: bool,
}

/// Asks the server that runs on `data_dir` for a copy of everything, and reports its progress to `news`. Returns when
/// the copy can be read.
pub fn ask_copy(data_dir: &Path, mut news: impl FnMut(CopyNews)) -> Result<CopyStream, ControlError> {
    let (path, mut answer) = put(data_dir, &ControlRequest::Copy)?;
    loop {
        let line = match next_reply(&mut answer, &path)? {
            ControlReply::Line(line) => line,
            ControlReply::Error(error) => return Err(ControlError::Refused(error)),
            ControlReply::End | ControlReply::Bytes(_) => {
                return Err(incomplete(&"it does not say what it contains"));
            }
        };
        let line = serde_json::from_value(line).map_err(|error| incomplete(&error))?;
        let complete = matches!(line, CopyNews::Complete { .. });
        news(line);
        if complete {
            return Ok(CopyStream { answer, path, left: 0, ended: false });
        }
    }
}

impl Read for CopyStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            if self.ended {
                return Ok(0);
            }
            match next_reply(&mut self.answer, &self.path).map_err(io::Error::other)? {
                ControlReply::Bytes(bytes) => self.left = bytes,
                ControlReply::End => self.ended = true,
                ControlReply::Error(error) => return Err(io::Error::other(ControlError::Refused(error))),
                ControlReply::Line(_) => {}
            }
        }
        let most = self.left.min(into.len());
        let read = self.answer.read(&mut into[..most])?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        Ok(read)
    }
}

fn put(data_dir: &Path, request: &ControlRequest) -> Result<(PathBuf, BufReader<UnixStream>), ControlError> {
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

fn next_reply(answer: &mut BufReader<UnixStream>, path: &Path) -> Result<ControlReply, ControlError> {
    let mut bytes = Vec::new();
    let read = answer.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes);
    if read.map_err(ControlError::io("read from", path))? == 0 {
        return Err(incomplete(&"it ended early"));
    }
    serde_json::from_slice(&bytes).map_err(|error| incomplete(&error))
}

fn incomplete(error: &dyn std::fmt::Display) -> ControlError {
    ControlError::Incomplete(error.to_string())
}
