//! `GET /local/Copy`: a copy of every record.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::try_unfold;
use futures_util::{TryFutureExt as _, TryStreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::domain::Timestamp;
use crate::store::{self, Copied, Store, StoreError};

/// Time between two lines about the progress, which show the client that the server is alive.
const NEWS_EVERY: Duration = Duration::from_millis(250);

/// Bytes sent at once.
const CHUNK: usize = 256 * 1024;

/// A line of JSON at the beginning of the body. The bytes of the copy follow the line `complete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyNews {
    /// Records copied so far.
    Copied(u64),
    Complete {
        records: Vec<(u8, u64)>,
        /// The time of the copy, in milliseconds since 1970.
        at: u64,
    },
    /// No copy follows, for this reason.
    Failed(String),
}

/// The body of the answer before it is made. The store makes the copy in a file; from then on nothing waits for the client
/// but its connection.
pub struct Copying {
    pub(super) store: Arc<dyn Store>,
    /// Where the file is made.
    pub(super) directory: PathBuf,
    /// The moment of the copy by the server's time.
    pub(super) at: Timestamp,
    pub(super) permit: OwnedSemaphorePermit,
}

enum Stage {
    Making(JoinHandle<Result<Copied, StoreError>>),
    Sending(File),
    Ended,
}

impl Copying {
    pub fn body(self) -> UnsyncBoxBody<Bytes, io::Error> {
        let Self { store, directory, at, permit } = self;
        // A client that has left drops its handle on the progress, and thereby cancels the copy.
        let progress = Arc::<AtomicU64>::default();
        let followed = Arc::clone(&progress);
        let making = tokio::spawn(async move { store::copy(&*store, &directory, followed).await });
        let frames =
            try_unfold((Stage::Making(making), progress, permit), move |(stage, progress, permit)| {
                let next = next(stage, progress.load(Ordering::Relaxed), at);
                next.map_ok(|next| next.map(|(bytes, stage)| (bytes, (stage, progress, permit))))
            });
        StreamBody::new(frames.map_ok(Frame::data)).boxed_unsync()
    }
}

/// The next bytes. `copied` is the progress.
async fn next(stage: Stage, copied: u64, at: Timestamp) -> io::Result<Option<(Bytes, Stage)>> {
    let (news, stage) = match stage {
        Stage::Making(mut making) => match timeout(NEWS_EVERY, &mut making).await {
            Err(_) => (CopyNews::Copied(copied), Stage::Making(making)),
            Ok(made) => match made? {
                Ok(Copied { file, counts }) => {
                    let news =
                        CopyNews::Complete { records: counts.into_iter().collect(), at: at.as_millis() };
                    (news, Stage::Sending(File::from_std(file)))
                }
                Err(error) => (CopyNews::Failed(error.to_string()), Stage::Ended),
            },
        },
        Stage::Sending(mut file) => {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            let read = file.read_buf(&mut chunk).await?;
            return Ok((read > 0).then(|| (chunk.freeze(), Stage::Sending(file))));
        }
        Stage::Ended => return Ok(None),
    };
    let mut line = serde_json::to_vec(&news)?;
    line.push(b'\n');
    Ok(Some((line.into(), stage)))
}
