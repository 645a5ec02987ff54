//! An HTTP client that speaks the server's API.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsConnector;

use super::{HttpResponse, soon, until};

/// Headers, or the fields of a form.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A client of one server. It keeps connections alive and reuses them, and opens as many as there are concurrent
/// requests.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, tls: None, idle: Arc::default() }
    }

    /// The same over TLS, for the server name `localhost`.
    pub fn over_tls(&self, config: Arc<ClientConfig>) -> Self {
        Self { address: self.address, tls: Some(config), idle: Arc::default() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `POST /api/send-otp`.
    pub async fn send(&self, number: &str) -> HttpResponse {
        self.try_send(number).await.expect("an answer")
    }

    /// The same in the background.
    pub fn begin_send(&self, number: &str) -> JoinHandle<HttpResponse> {
        let (client, number) = (self.clone(), number.to_owned());
        tokio::spawn(async move { client.send(&number).await })
    }

    /// `POST /api/verify-otp`.
    pub async fn verify(&self, number: &str, code: &str) -> HttpResponse {
        self.try_verify(number, code).await.expect("an answer")
    }

    pub async fn until_ready(&self) -> HttpResponse {
        until("readiness", || self.get("/readyz"), |answer| answer.status() == 200).await
    }

    /// Like [`Client::send`], but returns an error if no answer comes.
    pub async fn try_send(&self, number: &str) -> io::Result<HttpResponse> {
        self.try_post("/api/send-otp", json!({"phoneNumber": number}).to_string()).await
    }

    pub async fn try_verify(&self, number: &str, code: &str) -> io::Result<HttpResponse> {
        self.try_post("/api/verify-otp", json!({"user": {"phoneNumber": number}, "code": code}).to_string())
            .await
    }

    pub async fn send_code(&self, number: &str) -> HttpResponse {
        self.post("/send-code", json!({"phoneNumber": number}).to_string()).await
    }

    pub async fn verify_code(&self, number: &str, code: &str) -> HttpResponse {
        self.post("/verify-code", json!({"phoneNumber": number, "smsCode": code}).to_string()).await
    }

    pub async fn get(&self, path: &str) -> HttpResponse {
        self.get_with(path, &[]).await
    }

    pub async fn try_get(&self, path: &str) -> io::Result<HttpResponse> {
        self.try_request_with(Method::GET, path, &[], "").await
    }

    pub async fn get_with(&self, path: &str, headers: Pairs<'_>) -> HttpResponse {
        self.request_with(Method::GET, path, headers, "").await
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> HttpResponse {
        self.try_post(path, body).await.expect("an answer")
    }

    pub async fn try_post(&self, path: &str, body: impl Into<Bytes>) -> io::Result<HttpResponse> {
        self.try_request_with(Method::POST, path, &[], body).await
    }

    pub async fn post_with(&self, path: &str, headers: Pairs<'_>, body: impl Into<Bytes>) -> HttpResponse {
        self.request_with(Method::POST, path, headers, body).await
    }

    /// Posts a form as a browser encodes it.
    pub async fn post_form(&self, path: &str, headers: Pairs<'_>, form: Pairs<'_>) -> HttpResponse {
        self.try_post_form(path, headers, form).await.expect("an answer")
    }

    /// The same; returns an error if no answer comes.
    pub async fn try_post_form(
        &self,
        path: &str,
        headers: Pairs<'_>,
        form: Pairs<'_>,
    ) -> io::Result<HttpResponse> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = [&[("content-type", "application/x-www-form-urlencoded")], headers].concat();
        self.try_request_with(Method::POST, path, &headers, body).await
    }

    /// Checks a code so many times at once, each on its own connection, opened before the first request.
    pub async fn verify_at_once(&self, number: &str, times: usize, code: &str) -> Vec<HttpResponse> {
        self.connect_to_have(times).await;
        let mut checks = JoinSet::new();
        for _ in 0..times {
            let (client, number, code) = (self.clone(), number.to_owned(), code.to_owned());
            checks.spawn(async move { client.verify(&number, &code).await });
        }
        checks.join_all().await
    }

    pub async fn request_with(
        &self,
        method: Method,
        path: &str,
        headers: Pairs<'_>,
        body: impl Into<Bytes>,
    ) -> HttpResponse {
        self.try_request_with(method, path, headers, body).await.expect("an answer")
    }

    pub async fn try_request_with(
        &self,
        method: Method,
        path: &str,
        headers: Pairs<'_>,
        body: impl Into<Bytes>,
    ) -> io::Result<HttpResponse> {
        let mut request = Request::builder().method(method).uri(path);
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header(header::HOST, self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        soon(&format!("an answer of {}", self.address), self.exchange(request)).await
    }

    pub async fn connection(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Opens connections until this many are idle: no later request waits for its connection.
    pub async fn connect_to_have(&self, connections: usize) {
        while self.idle.lock().unwrap().len() < connections {
            let connection = self.open().await.expect("a connection");
            self.idle.lock().unwrap().push(connection);
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> io::Result<HttpResponse> {
        let idle = self.idle.lock().unwrap().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.open().await?,
        };
        // A connection takes a request once it has read the answer before to its end.
        drop(connection.sender.ready().await);
        let mut result = connection.send(request).await?;
        // If the server has closed the connection, nothing of the request was sent.
        if let Some(request) = result.as_mut().err().and_then(TrySendError::take_message) {
            connection = self.open().await?;
            result = connection.send(request).await?;
        }
        let (head, body) = result.map_err(TrySendError::into_error).map_err(io::Error::other)?.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        self.idle.lock().unwrap().push(connection);
        Ok(HttpResponse::new(head.status, head.headers, body))
    }

    async fn open(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => shaken(stream).await,
            Some(config) => {
                let name = ServerName::try_from("localhost").expect("a name");
                let connector = TlsConnector::from(Arc::clone(config));
                // Boxed, because every requesting future would otherwise contain the state of TLS.
                let stream = Box::pin(connector.connect(name, stream)).await?;
                shaken(Box::new(stream)).await
            }
        }
    }
}

async fn shaken(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> io::Result<Connection> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // The request reports the connection's end as an error.
    let task = tokio::spawn(async move { drop(connection.await) });
    Ok(Connection { sender, task })
}

impl Connection {
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> io::Result<Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>>> {
        tokio::select! {
            biased;
            result = self.sender.try_send_request(request) => Ok(result),
            // hyper's channel forgets a request that another thread puts into it while the connection ends.
            _ = &mut self.task => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
