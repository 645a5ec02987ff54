//! The control socket: a Unix domain socket in the data directory, on which the command line asks the running server.
//!
//! Only one process may have the data directory open. Therefore commands ask it by HTTP. The routes are those of the HTTP
//! port and those below `/local`.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt as _;
use tempfile::TempPath;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http::{FrontEnd, serve_local};

/// The socket's name in the data directory.
const FILE_NAME: &str = "control.sock";

/// Why there is no socket. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("the path {} is too long for a socket; choose a shorter data-dir, or a relative one", .0.display())]
    PathTooLong(PathBuf),
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl ControlError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

pub fn socket_in(data_dir: &Path) -> Result<PathBuf, ControlError> {
    let path = data_dir.join(FILE_NAME);
    match SocketAddr::from_pathname(&path) {
        Ok(_) => Ok(path),
        Err(_) => Err(ControlError::PathTooLong(path)),
    }
}

/// The task that answers on the socket.
pub struct Control {
    stop: oneshot::Sender<()>,
    answering: JoinHandle<()>,
}

impl Control {
    /// Answers requests of the command line. `None` without a socket; the server can run without one.
    pub fn start(data_dir: &Path, front_end: Arc<FrontEnd>) -> Option<Self> {
        let (listener, path) = bind(data_dir)
            .inspect_err(|error| {
                tracing::warn!(%error, "control socket not open; commands such as onceward tracker cannot reach this server");
            })
            .ok()?;
        let (stop, stopped) = oneshot::channel();
        let answering = tokio::spawn(async move {
            // Also when the other end is gone.
            serve_local(&listener, stopped.map(drop), front_end).await;
            drop(path);
        });
        Some(Self { stop, answering })
    }

    /// Stops the task and removes the socket.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        if let Err(error) = self.answering.await {
            tracing::error!(%error, "control socket failed at shutdown");
        }
    }
}

/// Listens in `data_dir`, which no other server uses: a socket left by a killed process is replaced. The path removes it
/// when it is dropped. Needs a tokio runtime.
fn bind(data_dir: &Path) -> Result<(UnixListener, TempPath), ControlError> {
    let path = socket_in(data_dir)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(ControlError::io("replace", &path)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(ControlError::io("listen on", &path))?;
    let removed = TempPath::try_from_path(&path).map_err(ControlError::io("find", &path))?;
    // Until this is done, and where a system ignores it, the check of the peer's user protects.
    fs::set_permissions(&path, Permissions::from_mode(0o600))
        .map_err(ControlError::io("restrict the mode of", &path))?;
    Ok((listener, removed))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn a_bind_replaces_a_killed_servers_socket_for_the_owner_until_the_stop() {
        let home = TempDir::new().expect("a directory");
        drop(std::os::unix::net::UnixListener::bind(home.path().join(FILE_NAME)).expect("a socket"));
        let (_listener, path) = bind(home.path()).expect("it is replaced");
        let found = fs::metadata(&path).expect("it is there");
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        drop(path);
        assert!(!home.path().join(FILE_NAME).exists());
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_is_refused() {
        let refused = socket_in(&Path::new("/tmp").join("long/".repeat(30)));
        assert!(matches!(refused, Err(ControlError::PathTooLong(_))), "{refused:?}");
    }
}
