//! Asking for a copy of everything. Blocks.

use std::io::{self, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::client::{next_reply, put};
use super::wire::{CopyNews, Reply, Request};
use super::{ControlError, client};

/// The bytes of a copy, as [`crate::store::CopyReader`] reads them.
#[derive(Debug)]
pub struct CopyStream {
    answer: BufReader<UnixStream>,
    path: PathBuf,
    /// Bytes to come before the next line.
    left: usize,
    ended: bool,
}

/// Asks the server that runs on `data_dir` for a copy of everything, and tells `news` how far it is. Returns
/// when it is there to be read.
///
/// # Errors
/// As [`client::ask`].
pub fn ask_copy(data_dir: &Path, mut news: impl FnMut(CopyNews)) -> Result<CopyStream, ControlError> {
    let (path, mut answer) = put(data_dir, &Request::Copy)?;
    loop {
        let line = match next_reply(&mut answer, &path)? {
            Reply::Line(line) => line,
            Reply::Error(error) => return Err(ControlError::Refused(error)),
            Reply::End | Reply::Bytes(_) => {
                return Err(ControlError::Incomplete("it does not say what it contains".into()));
            }
        };
        let line = serde_json::from_value(line).map_err(|error| client::incomplete(&error))?;
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
                Reply::Bytes(bytes) => self.left = bytes,
                Reply::End => self.ended = true,
                Reply::Error(error) => return Err(io::Error::other(ControlError::Refused(error))),
                Reply::Line(_) => {}
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
