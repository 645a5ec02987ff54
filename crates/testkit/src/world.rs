//! A server on loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use onceward::clock::ManualClock;
use onceward::gateway::{InboxMessage, Simulator};
use onceward::http::{App, ServedRoutes, serve};
use onceward::node::Running;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Client, Reply, get, post};
use crate::setup::{Setup, Started};

pub const NUMBER: &str = "+14155552671";

/// A server, until it is dropped.
pub struct World {
    pub address: SocketAddr,
    pub app: App,
    pub running: Arc<Running>,
    pub clock: Arc<ManualClock>,
    simulator: Option<Arc<Simulator>>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let Started { app, running, simulator, clock } = setup.start().await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let server = tokio::spawn(serve(vec![listener], shutdown, Arc::clone(&app), ServedRoutes::All));
        Self { address, app, running, clock, simulator, stop, server }
    }

    pub fn simulator(&self) -> &Simulator {
        self.simulator.as_deref().expect("the simulator")
    }

    /// The messages that the simulator has accepted, the newest first.
    pub fn messages(&self) -> Vec<InboxMessage> {
        self.simulator().messages(None, usize::MAX)
    }

    pub fn newest(&self) -> Option<InboxMessage> {
        self.simulator().messages(None, 1).pop()
    }

    /// The code of the newest message.
    pub fn code(&self) -> String {
        self.newest().expect("a message").code.expose().to_owned()
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Sends a request on its own connection.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        self.client().await.ask(request).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask(get(path)).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Reply {
        self.ask(post(path, body)).await
    }

    pub fn begin_stop(self) -> JoinHandle<()> {
        self.stop.send(()).expect("the server runs");
        self.server
    }
}

pub fn send_body() -> String {
    send_body_to(NUMBER)
}

pub fn send_body_to(number: &str) -> String {
    format!(r#"{{"phoneNumber":"{number}"}}"#)
}

pub fn verify_body(code: &str) -> String {
    format!(r#"{{"user":{{"phoneNumber":"{NUMBER}"}},"code":"{code}"}}"#)
}
