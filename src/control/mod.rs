//! The control socket: how the program on the command line asks the one that serves.
//!
//! Only one process may have the data directory open, so the command line asks a running
//! server. The server listens on a Unix domain socket in the data directory, which only
//! its own user may open. A request is one line of JSON; the answer is lines of JSON, and a last one
//! that says that it is complete or what went wrong.

mod client;
mod keys;
mod server;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use client::{CopyStream, ask, ask_copy};
pub use keys::{KeyLine, KeysRequest, RootLine};
pub use server::ControlSocket;
pub use wire::{CopyNews, Operator, Request, SendLine, TrackerRequest, UnlockRequest};

/// The socket's name in the data directory.
const FILE_NAME: &str = "control.sock";

/// Why a question was not answered, or cannot be. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The system allows about a hundred bytes for the path of a socket.
    #[error(
        "the path {} is too long for a socket; choose a shorter data-dir, or a relative one",
        .0.display()
    )]
    PathTooLong(PathBuf),
    /// A server that runs has the socket.
    #[error("a server answers on {} already; stop that one first", .0.display())]
    InUse(PathBuf),
    /// The file system refused something.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket is another user's.
    #[error(
        "connect to {}: the system does not allow it; run the command as the server's user or as root",
        .0.display()
    )]
    NotAllowed(PathBuf),
    /// No server runs on this data directory, or it has no socket.
    #[error("no server answers on {}", .0.display())]
    NoServer(PathBuf),
    /// The server could not do it.
    #[error("the server says: {0}")]
    Refused(String),
    /// The answer ended too early, or is none.
    #[error("the server's answer is not complete: {0}; ask again, or see its log")]
    Incomplete(String),
}

impl ControlError {
    /// Returns `true` without a socket. A server may still run: then the directory says that it is in use.
    pub const fn has_no_socket(&self) -> bool {
        matches!(self, Self::NoServer(_) | Self::PathTooLong(_))
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// The socket of a data directory.
fn path_in(data_dir: &Path) -> Result<PathBuf, ControlError> {
    let path = data_dir.join(FILE_NAME);
    match SocketAddr::from_pathname(&path) {
        Ok(_) => Ok(path),
        Err(_) => Err(ControlError::PathTooLong(path)),
    }
}
