//! The server of several targets on loopback (`crates/testkit`), and a connection to it that is kept while possible.

use std::cell::RefCell;
use std::time::Duration;

use onceward_testkit::{Client, Reply, Setup, V2World, given};
use serde_json::json;
use tokio::runtime::Runtime;

/// Longer than all time limits of the server.
const HANG: Duration = Duration::from_secs(60);

/// A world whose server runs while it is asked. Twilio, whose reports it takes, sends only to St Helena.
pub struct FrontEnd {
    runtime: Runtime,
    pub world: V2World,
    kept: Option<Client>,
}

pub fn with_front_end<T>(run: impl FnOnce(&mut FrontEnd) -> T) -> T {
    thread_local! {
        static FRONT_END: RefCell<Option<FrontEnd>> = const { RefCell::new(None) };
    }
    FRONT_END.with_borrow_mut(|front_end| run(front_end.get_or_insert_with(FrontEnd::start)))
}

impl FrontEnd {
    fn start() -> Self {
        let mut setup = Setup::of(json!({
            "otp-sms-provider": "Twilio:+290;Simulator",
            "TWILIO_ACCOUNT_SID": "AC0123456789abcdef0123456789abcdef",
            "TWILIO_AUTH_TOKEN": "fuzz-token",
            "TWILIO_PHONE_NUMBER": "+15005550006",
            "TWILIO_BASE_URL": "http://127.0.0.1:9",
            "public-url": "https://otp.example.com/base",
            "voice": true,
        }));
        setup.has_inbox = true;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let world = runtime.block_on(async {
            let world = V2World::with(setup).await;
            let fields = given(json!({ "custom-code": true }));
            world.registry.update_service(world.service.sid, fields).await.expect("changed");
            world
        });
        Self { runtime, world, kept: None }
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(HANG, future).await.expect("no hang") })
    }

    /// Sends one request. Returns the answer, and whether a message was sent.
    pub fn ask(&mut self, request: &[u8], is_head: bool) -> (Reply, bool) {
        let newest = |world: &V2World| world.world.newest().map(|message| message.id);
        let (before, kept) = (newest(&self.world), self.kept.take());
        let (reply, kept) = self.block_on(async {
            let mut client = match kept {
                Some(client) => client,
                None => self.world.world.client().await,
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
        (reply, newest(&self.world) != before)
    }

    /// Sends all bytes on a separate connection, and returns what comes back. `None` if that cannot be read as replies.
    pub fn say(&self, bytes: &[u8], is_readable: bool) -> Option<Vec<Reply>> {
        self.block_on(async {
            let mut client = self.world.world.client().await;
            client.try_send(bytes).await;
            client.half_close().await;
            if is_readable {
                return Some(client.replies().await);
            }
            client.rest().await;
            None
        })
    }
}

/// The first line, and the rest after it; without an end of line, everything is the rest.
pub fn first_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or(("", text))
}
