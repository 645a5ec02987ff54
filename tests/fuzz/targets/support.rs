//! The front end on loopback (`crates/testkit`), and a connection to it that is kept while possible.

use std::net::SocketAddr;
use std::time::Duration;

use onceward_testkit::{Client, Reply};
use tokio::runtime::Runtime;

/// Longer than all time limits of the server.
const HANG: Duration = Duration::from_secs(60);

/// A world whose server runs while it is asked.
pub struct FrontEnd<W> {
    runtime: Runtime,
    pub world: W,
    address: SocketAddr,
    kept: Option<Client>,
}

impl<W> FrontEnd<W> {
    pub fn start(world: impl Future<Output = W>, address: impl FnOnce(&W) -> SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let world = runtime.block_on(world);
        let address = address(&world);
        Self { runtime, world, address, kept: None }
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(HANG, future).await.expect("no hang") })
    }

    /// Sends one request, and returns the answer.
    pub fn ask(&mut self, request: &[u8], is_head: bool) -> Reply {
        let kept = self.kept.take();
        let (reply, kept) = self.block_on(async {
            let mut client = match kept {
                Some(client) => client,
                None => Client::connect(self.address).await,
            };
            // The server may answer and close before it has read everything.
            client.try_send(request).await;
            let mut reply = client.reply_without_body().await;
            let length = if is_head { Some(0) } else { reply.length() };
            reply.body = client.body(length.unwrap_or(0)).await;
            let is_kept = length.is_some() && reply.header("connection") != Some("close");
            (reply, is_kept.then_some(client))
        });
        self.kept = kept;
        reply
    }

    /// Sends all bytes on a separate connection, and returns what `read` makes of all that comes back.
    pub fn say<T>(&mut self, bytes: &[u8], read: impl AsyncFnOnce(&mut Client) -> T) -> T {
        self.block_on(async {
            let mut client = Client::connect(self.address).await;
            client.try_send(bytes).await;
            client.try_half_close().await;
            read(&mut client).await
        })
    }
}
