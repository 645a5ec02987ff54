//! The end that answers.

use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::copy_server::Copies;
use super::wire::{Reply, Request, SendLine};
use super::{ControlError, Operator, path_in};
use crate::attempts::Attempts;
use crate::registry::Registry;
use crate::store::Store;

/// Longest request that is read, in bytes.
const LONGEST_REQUEST: u64 = 4096;

/// A client that connects sends its request at once.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// Reading every record takes a second or so; the rest is for a slow reader.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Clients at once: people at terminals. More wait.
const CLIENTS: usize = 4;

/// The socket of a data directory. Gone from the disk when it is dropped.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    operator: Option<Arc<dyn Operator>>,
}

impl std::fmt::Debug for ControlSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlSocket").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ControlSocket {
    /// Listens in `data_dir`. Call it while this process has the directory locked, that is after the
    /// store was opened: what is left of a process that was killed is then replaced. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// The server can do without: log it and go on.
    pub fn bind(data_dir: &Path) -> Result<Self, ControlError> {
        let path = path_in(data_dir)?;
        remove_stale(&path)?;
        let listener = UnixListener::bind(&path).map_err(ControlError::io("listen on", &path))?;
        let socket = Self { listener, path, operator: None };
        // Until this is done, and where a system ignores it, the check of the peer below protects.
        fs::set_permissions(&socket.path, Permissions::from_mode(0o600))
            .map_err(ControlError::io("restrict the mode of", &socket.path))?;
        Ok(socket)
    }

    /// The same, for operators who may change what is counted of numbers.
    #[must_use]
    pub fn for_operators(mut self, operator: Arc<dyn Operator>) -> Self {
        self.operator = Some(operator);
        self
    }

    /// Answers until `until` ends; answers that are not complete by then are cut off.
    pub async fn serve(
        self,
        attempts: Attempts,
        store: Arc<dyn Store>,
        registry: Registry,
        until: impl Future<Output = ()>,
    ) {
        let mut clients = JoinSet::new();
        let mut in_trouble = false;
        let copies = Copies::of(store);
        tokio::pin!(until);
        loop {
            while clients.try_join_next().is_some() {}
            tokio::select! {
                () = &mut until => return,
                accepted = self.listener.accept(), if clients.len() < CLIENTS => match accepted {
                    Ok((stream, _)) if is_ours(&stream) => {
                        in_trouble = false;
                        let (attempts, copies, registry) = (attempts.clone(), copies.clone(), registry.clone());
                        let operator = self.operator.clone();
                        clients.spawn(async move {
                            if let Err(error) = answer(stream, &attempts, &copies, &registry, operator.as_deref()).await {
                                tracing::debug!(%error, "a question on the control socket got no whole answer");
                            }
                        });
                    }
                    Ok(_) => tracing::warn!("another user of this machine tried to ask on the control socket"),
                    Err(error) => {
                        // Tried each second, and said once.
                        if !std::mem::replace(&mut in_trouble, true) {
                            tracing::warn!(%error, "the control socket did not accept a client");
                        }
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                },
                Some(_) = clients.join_next() => {}
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes a socket that no process listens on.
fn remove_stale(path: &Path) -> Result<(), ControlError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ControlError::io("look at", path)(error)),
        Ok(found) if !found.file_type().is_socket() => {
            let source = io::Error::new(io::ErrorKind::AlreadyExists, "it is not a socket; move it away");
            return Err(ControlError::io("replace", path)(source));
        }
        Ok(_) => {}
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ControlError::InUse(path.to_owned()));
    }
    fs::remove_file(path).map_err(ControlError::io("remove the old", path))
}

/// Whether the other end is of our user, or of the administrator.
fn is_ours(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ours || peer.uid() == 0)
}

async fn answer(
    stream: UnixStream,
    attempts: &Attempts,
    copies: &Copies,
    registry: &Registry,
    operator: Option<&dyn Operator>,
) -> io::Result<()> {
    let (from, to) = stream.into_split();
    let mut to = BufWriter::new(to);
    let mut line = Vec::new();
    let mut from = BufReader::new(from.take(LONGEST_REQUEST));
    timeout(REQUEST_WITHIN, from.read_until(b'\n', &mut line)).await??;
    let request = serde_json::from_slice(&line);
    if matches!(request, Ok(Request::Copy)) {
        // In a time of its own.
        return copies.answer(&mut to).await;
    }
    timeout(ANSWER_WITHIN, async {
        let end = match request {
            Ok(Request::Tracker(request)) => match request.query() {
                Ok(query) => match attempts.list(&query).await {
                    Ok(rows) => {
                        for row in &rows {
                            let line = serde_json::to_value(SendLine::from(row))?;
                            write(&mut to, &Reply::Line(line)).await?;
                        }
                        Reply::End
                    }
                    Err(error) => Reply::Error(error.to_string()),
                },
                Err(error) => Reply::Error(error),
            },
            Ok(Request::Keys(request)) => match request.clone().carry_out(registry).await {
                Ok(lines) => {
                    if let Some(done) = request.changes() {
                        tracing::info!("an operator: {done}");
                    }
                    for line in lines {
                        write(&mut to, &Reply::Line(line)).await?;
                    }
                    Reply::End
                }
                Err(error) => Reply::Error(error),
            },
            Ok(Request::Unlock(request)) => match request.carry_out(registry, operator).await {
                Ok(()) => Reply::End,
                Err(error) => Reply::Error(error),
            },
            Ok(Request::Copy) => Reply::Error("a copy is answered elsewhere".to_owned()),
            Err(error) => Reply::Error(format!("not a request: {error}")),
        };
        write(&mut to, &end).await?;
        to.flush().await
    })
    .await?
}

pub(super) async fn write(to: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    to.write_all(&line).await
}
