//! A running front end.

use std::net::SocketAddr;
use std::sync::Arc;

use onceward::http::{FrontEnd, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Client, Reply, get, post};
use crate::script::Script;
use crate::setup::Setup;

pub const NUMBER: &str = "+14155552671";

/// A front end on loopback, until it is dropped.
pub struct World {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl World {
    pub async fn with(setup: Setup) -> Self {
        Self::over(setup.into_front_end(None)).await
    }

    pub async fn scripted(script: Script) -> Self {
        Self::with(Setup::scripted(script)).await
    }

    pub(crate) async fn over(front_end: Arc<FrontEnd>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let server = tokio::spawn(serve(listener, shutdown, front_end));
        Self { address, stop, server }
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

pub fn send_body() -> String {
    format!(r#"{{"phoneNumber":"{NUMBER}"}}"#)
}

pub fn verify_body(code: &str) -> String {
    format!(r#"{{"user":{{"phoneNumber":"{NUMBER}"}},"code":"{code}"}}"#)
}

pub fn sms_code_body(code: &str) -> String {
    format!(r#"{{"phoneNumber":"{NUMBER}","smsCode":"{code}"}}"#)
}
