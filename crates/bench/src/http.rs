//! HTTP/1.1 without TLS: one connection of a client, and a server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[derive(Debug, Clone, Copy)]
pub enum Route {
    Send,
    Check,
    Ready,
}

/// Carries one request at a time.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // An error shows in the request that fails with it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, host: HeaderValue::from_str(&address.to_string())? })
    }

    pub async fn request(&mut self, route: Route, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let (method, path) = match route {
            Route::Send => (Method::POST, "/api/send-otp"),
            Route::Check => (Method::POST, "/api/verify-otp"),
            Route::Ready => (Method::GET, "/readyz"),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_static(path);
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

pub fn send_body(digits: u64) -> Bytes {
    Bytes::from(format!(r#"{{"phoneNumber":"+{digits}"}}"#))
}

pub fn check_body(digits: u64, code: &str) -> Bytes {
    Bytes::from(format!(r#"{{"user":{{"phoneNumber":"+{digits}"}},"code":"{code}"}}"#))
}

/// Answers all requests until it is dropped; accepted connections end with the runtime.
pub async fn serve<F, R>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No file is free; one may be a moment later.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

pub fn json_response(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}
