//! A running front end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::{Client, Reply, get, post};
use super::script::Script;
use crate::config::{AnswerSet, Bounds, ProxySettings};
use crate::domain::{Channel, CodeLength};
use crate::engine::SendOptions;
use crate::http::{Deps, EventStreams, LongAnswers, ServedRoutes, serve};

pub const NUMBER: &str = "+14155552671";

pub struct World {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl World {
    pub async fn with(deps: Deps) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let server = tokio::spawn(serve(listener, shutdown, Arc::new(deps)));
        Self { address, stop, server }
    }

    pub async fn scripted(script: Script) -> Self {
        Self::with(deps(script)).await
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Sends a request on its own connection.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut client = self.client().await;
        client.send(request).await;
        client.reply().await
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

    /// Ends the server, as the caller's deadline would.
    pub async fn drop_server(self) {
        self.server.abort();
        assert!(self.server.await.is_err_and(|error| error.is_cancelled()));
    }
}

pub fn deps(script: Script) -> Deps {
    Deps {
        verifier: Arc::new(script),
        answers: AnswerSet::Documented,
        bounds: Bounds::default(),
        default_region: None,
        lockout: Duration::from_secs(30 * 60),
        proxies: ProxySettings::default(),
        tutorial_code: tutorial_code(),
        readiness: Arc::new(|| Ok(())),
        gateways: Arc::new(Vec::new),
        numbers: Arc::new(|| None),
        channels: vec![Channel::Sms, Channel::WhatsApp],
        callbacks: None,
        v2: Arc::default(),
        admin: Arc::default(),
        inbox: None,
        simulates_all: false,
        event_streams: EventStreams::default(),
        long_answers: LongAnswers::default(),
        inbox_needs_credentials: false,
        host_name: None,
        cors_origins: Vec::new(),
        tls: None,
        request_id_prefix: 0xabcd_0123,
        metrics: Arc::default(),
        tracer: None,
        reading: Arc::new(|| None),
        routes: ServedRoutes::All,
        forwarder: None,
    }
}

pub fn tutorial_code() -> SendOptions {
    SendOptions { life: Duration::from_secs(600), length: CodeLength::SIX }
}

pub fn bounds(change: impl FnOnce(&mut Bounds)) -> Bounds {
    let mut bounds = Bounds::default();
    change(&mut bounds);
    bounds
}

pub fn send_body() -> String {
    format!(r#"{{"phoneNumber":"{NUMBER}"}}"#)
}

pub fn verify_body(code: &str) -> String {
    format!(r#"{{"user":{{"phoneNumber":"{NUMBER}"}},"code":"{code}"}}"#)
}

pub fn sms_code_body(code: &str) -> String {
    format!(r#"{{"phoneNumber":"{NUMBER}","smsCode":"{code}"}}"#)
}
