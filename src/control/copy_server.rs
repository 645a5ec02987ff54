//! A copy of everything, handed out.
//!
//! The store makes it in a file; from then on nothing waits for the client but this task. One at a time: each
//! takes disk space until its client has read it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::server::write;
use super::wire::{CopyNews, Reply};
use crate::store::{Copied, CopyProgress, Store, StoreError};

/// Time between two progress messages, which show the client that the server is alive.
const NEWS_EVERY: Duration = Duration::from_millis(250);

/// A client that takes nothing for so long is cut off.
const SILENCE: Duration = Duration::from_secs(60);

/// A copy that is read for longer is given up, because it takes disk space.
const ALL_WITHIN: Duration = Duration::from_secs(3600);

/// Bytes sent at once.
const CHUNK: usize = 256 * 1024;

/// Makes copies.
#[derive(Clone)]
pub(super) struct Copies {
    store: Arc<dyn Store>,
    one: Arc<Semaphore>,
}

impl Copies {
    pub(super) fn of(store: Arc<dyn Store>) -> Self {
        Self { store, one: Arc::new(Semaphore::new(1)) }
    }

    /// Makes one and sends it.
    pub(super) async fn answer(&self, to: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
        let end = match self.one.try_acquire() {
            Ok(_permit) => timeout(ALL_WITHIN, self.send(to)).await??,
            Err(_) => Reply::Error("another export is going on; try again when it has ended".to_owned()),
        };
        write(to, &end).await?;
        timeout(SILENCE, to.flush()).await?
    }

    async fn send(&self, to: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<Reply> {
        let Copied { file, counts, at } = match self.make(to).await? {
            Ok(copied) => copied,
            Err(error) => return Ok(Reply::Error(error.to_string())),
        };
        let complete = CopyNews::Complete { records: counts.iter().collect(), at: at.as_millis() };
        write(to, &Reply::Line(serde_json::to_value(complete)?)).await?;
        let (mut file, mut chunk) = (tokio::fs::File::from_std(file), vec![0; CHUNK]);
        loop {
            let read = file.read(&mut chunk).await?;
            if read == 0 {
                return Ok(Reply::End);
            }
            timeout(SILENCE, async {
                write(to, &Reply::Bytes(read)).await?;
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
                        write(to, &Reply::Line(serde_json::to_value(news)?)).await?;
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
