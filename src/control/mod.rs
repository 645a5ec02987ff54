//! The control socket: how the program on the command line asks the one that serves.
//!
//! Only one process may have the data directory open, so the command line asks a running server. The server listens on
//! a Unix domain socket in the data directory, which only its own user may open. A request is one line of JSON; the
//! answer is lines of JSON, and a last one that says that it is complete or what went wrong.

mod client;
mod keys;
mod server;
#[cfg(test)]
mod tests;
mod wire;

use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

pub(crate) use client::{ask, ask_copy};
pub(crate) use keys::{KeyLine, KeysRequest, RootLine};
pub use server::ControlSocket;
pub(crate) use wire::{ControlError, CopyNews, Operator, TrackerRequest, UnlockRequest};
pub use wire::{Request, SendLine};

/// The socket's name in the data directory.
const FILE_NAME: &str = "control.sock";

/// The socket of a data directory.
fn path_in(data_dir: &Path) -> Result<PathBuf, ControlError> {
    let path = data_dir.join(FILE_NAME);
    match SocketAddr::from_pathname(&path) {
        Ok(_) => Ok(path),
        Err(_) => Err(ControlError::PathTooLong(path)),
    }
}
