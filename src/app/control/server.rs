//! The end that answers.

use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::path_in;
use super::wire::{ControlError, ControlReply, ControlRequest, CopyNews, SendLine, ServerLine, TotalLine};
use crate::attempts::Attempts;
use crate::audit::{Actor, Author};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::node::AccountFile;
use crate::registry::Registry;
use crate::store::{Copied, CopyProgress, Store, StoreError};
use crate::verify::Verifying;

/// Longest request that is read, in bytes.
const LONGEST_REQUEST: u64 = 4096;

/// A client that connects sends its request at once.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// Reading every record takes a second or so; the rest is for a slow reader.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Clients at once: people at terminals. More wait.
const CLIENTS: usize = 4;

/// Time between two progress messages, which show the client that the server is alive.
const NEWS_EVERY: Duration = Duration::from_millis(250);

/// A client that takes nothing for so long is cut off.
const SILENCE: Duration = Duration::from_secs(60);

/// A copy that is read for longer is given up, because it takes disk space.
const ALL_WITHIN: Duration = Duration::from_secs(3600);

/// Bytes sent at once.
const CHUNK: usize = 256 * 1024;

/// The socket of a data directory. Gone from the disk when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// The parts of the server that carry out requests.
#[derive(Clone)]
pub struct ControlDeps {
    pub attempts: Attempts,
    pub store: Arc<dyn Store>,
    pub registry: Registry,
    pub account: AccountFile,
    /// `None` refuses `unlock`, which clears the counts of numbers.
    pub verifying: Option<Verifying>,
}

impl ControlSocket {
    /// Listens in `data_dir`, whose lock this process holds: a socket left by a killed process is replaced. Needs a
    /// tokio runtime. The server can run without a socket.
    pub fn bind(data_dir: &Path) -> Result<Self, ControlError> {
        let path = path_in(data_dir)?;
        remove_stale(&path)?;
        let listener = UnixListener::bind(&path).map_err(ControlError::io("listen on", &path))?;
        let socket = Self { listener, path };
        // Until this is done, and where a system ignores it, the check of the peer below protects.
        fs::set_permissions(&socket.path, Permissions::from_mode(0o600))
            .map_err(ControlError::io("restrict the mode of", &socket.path))?;
        Ok(socket)
    }

    /// Answers until `until` ends; answers that are not complete by then are cut off.
    pub async fn serve(self, deps: ControlDeps, until: impl Future<Output = ()>) {
        let mut clients = JoinSet::new();
        let mut in_trouble = false;
        let copies = Copies::of(Arc::clone(&deps.store));
        tokio::pin!(until);
        loop {
            while clients.try_join_next().is_some() {}
            tokio::select! {
                () = &mut until => return,
                accepted = self.listener.accept(), if clients.len() < CLIENTS => match accepted {
                    Ok((stream, _)) if is_ours(&stream) => {
                        in_trouble = false;
                        let (deps, copies) = (deps.clone(), copies.clone());
                        clients.spawn(async move {
                            if let Err(error) = answer(stream, &deps, &copies).await {
                                tracing::debug!(%error, "control request not answered completely");
                            }
                        });
                    }
                    Ok(_) => tracing::warn!("control request refused; it came from another user of this machine"),
                    Err(error) => {
                        // Tried each second, and logged once.
                        if !std::mem::replace(&mut in_trouble, true) {
                            tracing::warn!(%error, "control socket unavailable");
                        }
                        sleep(Duration::from_secs(1)).await;
                    }
                },
                Some(_) = clients.join_next() => {}
            }
        }
    }
}

impl ControlSocket {
    /// Says which server this is, and refuses all other requests with the reason in words for a person, until `until`
    /// ends.
    pub async fn refuse(
        self,
        clock: Arc<dyn Clock>,
        reason: impl Fn() -> String,
        until: impl Future<Output = ()>,
    ) {
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if is_ours(&stream) => {
                        if let Err(error) = refuse(stream, clock.now(), reason()).await {
                            tracing::debug!(%error, "control request not answered completely");
                        }
                    }
                    Ok(_) => {}
                    Err(_) => sleep(Duration::from_secs(1)).await,
                }
            }
        }
    }
}

async fn refuse(mut stream: UnixStream, now: Timestamp, reason: String) -> io::Result<()> {
    timeout(REQUEST_WITHIN, async {
        // A socket that is closed with unread input loses the answer.
        let mut line = Vec::new();
        BufReader::new((&mut stream).take(LONGEST_REQUEST)).read_until(b'\n', &mut line).await?;
        let end = if let Ok(ControlRequest::Server) = serde_json::from_slice(&line) {
            write(&mut stream, &ControlReply::Line(serde_json::to_value(ServerLine::at(now))?)).await?;
            ControlReply::End
        } else {
            ControlReply::Error(reason)
        };
        write(&mut stream, &end).await
    })
    .await?
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

async fn answer(stream: UnixStream, deps: &ControlDeps, copies: &Copies) -> io::Result<()> {
    let author = deps.registry.author(Actor::user(stream.peer_cred()?.uid()), None);
    let (from, to) = stream.into_split();
    let mut to = BufWriter::new(to);
    let mut line = Vec::new();
    let mut from = BufReader::new(from.take(LONGEST_REQUEST));
    timeout(REQUEST_WITHIN, from.read_until(b'\n', &mut line)).await??;
    let request = serde_json::from_slice(&line);
    if matches!(request, Ok(ControlRequest::Copy)) {
        // Bounded by its own time limits.
        return copies.answer(&mut to).await;
    }
    timeout(ANSWER_WITHIN, async {
        let end = match request {
            Ok(request) => match carry_out(request, deps, author).await {
                Ok(lines) => {
                    for line in lines {
                        write(&mut to, &ControlReply::Line(line)).await?;
                    }
                    ControlReply::End
                }
                Err(error) => ControlReply::Error(error),
            },
            Err(error) => ControlReply::Error(format!("not a request: {error}")),
        };
        write(&mut to, &end).await?;
        to.flush().await
    })
    .await?
}

/// Returns the lines of the answer, or the reason in words for a person.
async fn carry_out(
    request: ControlRequest,
    deps: &ControlDeps,
    author: Author,
) -> Result<Vec<Value>, String> {
    let ControlDeps { attempts, registry, account, verifying, .. } = deps;
    let verifying = || verifying.as_ref().ok_or("this server does not serve status, unlock and guard");
    match request {
        ControlRequest::Tracker(request) => {
            let find = |name: &str| registry.find_service(name).map(|service| service.id);
            let query = request.query(find)?;
            if request.totals {
                let totals = attempts.totals(&query).await.map_err(|error| error.to_string())?;
                return lines(TotalLine::list(&totals));
            }
            let rows = attempts.list(&query).await.map_err(|error| error.to_string())?;
            lines(rows.iter().map(SendLine::from))
        }
        ControlRequest::Keys(request) => request.carry_out(&registry.on_behalf_of(author), account).await,
        ControlRequest::Webhooks(request) => request.carry_out(registry),
        ControlRequest::Unlock(request) => lines([request.unlock(registry, verifying()?, author).await?]),
        ControlRequest::Status(request) => lines(request.status(registry, verifying()?).await?),
        ControlRequest::Audit(request) => lines(request.carry_out(registry).await?),
        ControlRequest::Erase(request) => lines([request.carry_out(registry, verifying()?, author).await?]),
        ControlRequest::Guard(request) => request.carry_out(registry, verifying()?, author).await,
        ControlRequest::Server => lines([ServerLine::at(verifying()?.now())]),
        ControlRequest::Copy => Err("a copy is answered elsewhere".to_owned()),
    }
}

/// The lines of an answer. Their serialization cannot fail.
fn lines(of: impl IntoIterator<Item = impl Serialize>) -> Result<Vec<Value>, String> {
    of.into_iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

async fn write(to: &mut (impl AsyncWriteExt + Unpin), reply: &ControlReply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    to.write_all(&line).await
}

/// Copies of everything. The store makes one in a file; from then on nothing waits for the client but its task. One at
/// a time: each takes disk space until its client has read it.
#[derive(Clone)]
struct Copies {
    store: Arc<dyn Store>,
    one: Arc<Semaphore>,
}

impl Copies {
    fn of(store: Arc<dyn Store>) -> Self {
        Self { store, one: Arc::new(Semaphore::new(1)) }
    }

    async fn answer(&self, to: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
        let end = match self.one.try_acquire() {
            Ok(_permit) => timeout(ALL_WITHIN, self.send(to)).await??,
            Err(_) => {
                ControlReply::Error("another export is going on; try again when it has ended".to_owned())
            }
        };
        write(to, &end).await?;
        timeout(SILENCE, to.flush()).await?
    }

    async fn send(&self, to: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<ControlReply> {
        let Copied { file, counts, at } = match self.make(to).await? {
            Ok(copied) => copied,
            Err(error) => return Ok(ControlReply::Error(error.to_string())),
        };
        let complete = CopyNews::Complete { records: counts.iter().collect(), at: at.as_millis() };
        write(to, &ControlReply::Line(serde_json::to_value(complete)?)).await?;
        let (mut file, mut chunk) = (tokio::fs::File::from_std(file), vec![0; CHUNK]);
        loop {
            let read = file.read(&mut chunk).await?;
            if read == 0 {
                return Ok(ControlReply::End);
            }
            timeout(SILENCE, async {
                write(to, &ControlReply::Bytes(read)).await?;
                to.write_all(&chunk[..read]).await
            })
            .await??;
        }
    }

    /// Makes the copy. A client that disconnects cancels it.
    async fn make(&self, to: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<Result<Copied, StoreError>> {
        let progress = Arc::new(CopyProgress::default());
        let _cancel_on_drop = CancelOnDrop(Arc::clone(&progress));
        let mut copying = self.store.copy(Arc::clone(&progress));
        loop {
            tokio::select! {
                copied = &mut copying => return Ok(copied),
                () = sleep(NEWS_EVERY) => {
                    let news = CopyNews::Copied(progress.records());
                    timeout(SILENCE, async {
                        write(to, &ControlReply::Line(serde_json::to_value(news)?)).await?;
                        to.flush().await
                    })
                    .await??;
                }
            }
        }
    }
}

/// Cancels a copy whose client has disconnected. A finished copy does not notice.
struct CancelOnDrop(Arc<CopyProgress>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
