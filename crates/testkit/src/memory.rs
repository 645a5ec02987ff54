//! A front end whose connections are in memory.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use onceward::http::streams::{Connection, Server, serve, serve_http2, server_state, with_write_timeout};
use onceward::http::{App, ServedRoutes, Tls};
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

use crate::client::{Client, HANG_IN_PAUSED_TIME};
use crate::setup::Setup;

/// A front end for [`duplex`] streams. Nothing in it waits for a socket, therefore time can be paused. A handle of a
/// connection completes when the server ends it.
pub struct Memory(Arc<Server>);

impl Memory {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let app = setup.start().await.app;
        Self(Arc::new(server_state(app, ServedRoutes::All)))
    }

    pub fn app(&self) -> &App {
        &self.0.app
    }

    /// Ends every connection after the requests that it is answering.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    pub fn serve(&self, stream: DuplexStream) -> JoinHandle<()> {
        tokio::spawn(serve(stream, None, self.connection()))
    }

    pub fn serve_http2(&self, stream: DuplexStream) -> JoinHandle<()> {
        let connection = self.connection();
        tokio::spawn(async move { serve_http2(with_write_timeout(stream), &connection).await })
    }

    pub fn serve_tls(&self, stream: DuplexStream, tls: &Tls) -> JoinHandle<()> {
        tokio::spawn(serve(stream, Some(tls.acceptor()), self.connection()))
    }

    /// A client of HTTP/1, for paused time.
    pub fn client(&self) -> Client<DuplexStream> {
        let (near, far) = duplex(64 * 1024);
        self.serve(far);
        Client::over(near, HANG_IN_PAUSED_TIME)
    }

    /// A client of HTTP/2 and its connection.
    pub async fn http2(&self) -> (SendRequest<Full<Bytes>>, JoinHandle<()>) {
        let (near, far) = duplex(64 * 1024);
        let ended = self.serve_http2(far);
        let (sender, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(near)).await.expect("a handshake");
        tokio::spawn(connection);
        (sender, ended)
    }

    fn connection(&self) -> Arc<Connection> {
        Connection::new(Arc::clone(&self.0), Ipv4Addr::LOCALHOST.into(), None)
    }
}
