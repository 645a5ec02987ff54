//! A front end whose connections are in memory.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use onceward::http::streams::{
    Connection, Server, refuse_tls, serve, serve_http2, serve_tls, server, with_write_timeout,
};
use onceward::http::{App, Tls};
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::setup::{Setup, Started};

/// A front end for [`duplex`] streams. Nothing in it waits for a socket, therefore time can be paused. A handle of a
/// connection completes when the server ends it.
pub struct Memory(Arc<Server>);

impl Memory {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let Started { app, routes, .. } = setup.start().await;
        Self(Arc::new(server(app, None, routes)))
    }

    pub fn app(&self) -> &App {
        &self.0.app
    }

    /// Ends every connection after the requests that it is answering.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    pub fn serve(&self, stream: DuplexStream) -> JoinHandle<()> {
        tokio::spawn(serve(stream, self.connection(Ipv4Addr::LOCALHOST.into())))
    }

    pub fn serve_http2(&self, stream: DuplexStream) -> JoinHandle<()> {
        self.serve_http2_from(stream, Ipv4Addr::LOCALHOST.into())
    }

    pub fn serve_http2_from(&self, stream: DuplexStream, peer: IpAddr) -> JoinHandle<()> {
        tokio::spawn(serve_http2(with_write_timeout(stream), self.connection(peer)))
    }

    pub fn serve_tls(&self, stream: DuplexStream, tls: &Tls) -> JoinHandle<()> {
        tokio::spawn(serve_tls(stream, tls.acceptor(), self.connection(Ipv4Addr::LOCALHOST.into())))
    }

    /// Treats a connection as one too many.
    pub async fn refuse_tls(&self, stream: DuplexStream, tls: &Tls) {
        refuse_tls(stream, tls.acceptor_of_refused(), "unheard".into()).await;
    }

    /// A client of HTTP/1, for paused time.
    pub fn client(&self) -> Client<DuplexStream> {
        let (near, far) = duplex(64 * 1024);
        self.serve(far);
        Client::in_paused_time(near)
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

    fn connection(&self, peer: IpAddr) -> Arc<Connection> {
        Connection::new(Arc::clone(&self.0), 1, peer, None)
    }
}
