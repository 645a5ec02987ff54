//! One HTTP connection of a client, with one request at a time.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest answer that is read. One of the contract has a few hundred bytes, and whoever is driven may be anybody.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Why there is no answer.
type NoAnswer = Box<dyn std::error::Error + Send + Sync>;

/// The parts of a request that are the same each time, made once.
#[derive(Debug, Clone)]
pub struct Parts {
    address: SocketAddr,
    host: HeaderValue,
    json: HeaderValue,
    send: Uri,
    check: Uri,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/api/send-otp`
    Send,
    /// `/api/verify-otp`
    Check,
}

/// A connection that is kept alive.
pub struct Line {
    sender: SendRequest<Full<Bytes>>,
    parts: Parts,
}

impl Parts {
    /// For the server at an address, which the `Host` field names.
    pub fn of(address: SocketAddr) -> Self {
        // The text of an address has no character that a field may not have.
        let host = HeaderValue::from_str(&address.to_string());
        Self {
            address,
            host: host.unwrap_or_else(|_| HeaderValue::from_static("localhost")),
            json: HeaderValue::from_static("application/json"),
            send: Uri::from_static("/api/send-otp"),
            check: Uri::from_static("/api/verify-otp"),
        }
    }

    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Line {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or no file is free.
    pub async fn open(parts: &Parts) -> io::Result<Self> {
        let stream = TcpStream::connect(parts.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Its end shows in the request that fails with it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, parts: parts.clone() })
    }

    /// One request of a client, and what it is answered.
    ///
    /// # Errors
    ///
    /// The server hung up, or what it said is not HTTP, or does not end.
    pub async fn ask(&mut self, route: Route, body: Bytes) -> Result<(StatusCode, Bytes), NoAnswer> {
        let uri = match route {
            Route::Send => &self.parts.send,
            Route::Check => &self.parts.check,
        };
        let uri = uri.clone();
        self.exchange(Method::POST, uri, body).await
    }

    /// The same for any path.
    ///
    /// # Errors
    ///
    /// As for [`Line::ask`].
    pub async fn ask_at(&mut self, path: &'static str, body: Bytes) -> Result<(StatusCode, Bytes), NoAnswer> {
        self.exchange(Method::POST, Uri::from_static(path), body).await
    }

    /// What a path shows.
    ///
    /// # Errors
    ///
    /// As for [`Line::ask`].
    pub async fn look_at(&mut self, path: &'static str) -> Result<(StatusCode, Bytes), NoAnswer> {
        self.exchange(Method::GET, Uri::from_static(path), Bytes::new()).await
    }

    async fn exchange(
        &mut self,
        method: Method,
        uri: Uri,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), NoAnswer> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, self.parts.host.clone());
        headers.insert(CONTENT_TYPE, self.parts.json.clone());
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await?.to_bytes();
        Ok((status, body))
    }
}

/// What asks for a code.
pub fn send_body(digits: u64) -> Bytes {
    let mut body = String::with_capacity(40);
    // Writing to a text cannot fail.
    let _ = write!(body, r#"{{"phoneNumber":"+{digits}"}}"#);
    Bytes::from(body)
}

/// What asks whether a code is right.
pub fn check_body(digits: u64, code: &str) -> Bytes {
    let mut body = String::with_capacity(80);
    let _ = write!(body, r#"{{"user":{{"phoneNumber":"+{digits}"}},"code":"{code}"}}"#);
    Bytes::from(body)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_answer_that_does_not_end_is_not_collected_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let parts = Parts::of(listener.local_addr().unwrap());
        let endless = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let (part, mut said) = (vec![b'a'; 64 * 1024], 0);
            while said < 64 * LONGEST_ANSWER && stream.write_all(&part).await.is_ok() {
                said += part.len();
            }
            said
        });
        let mut line = Line::open(&parts).await.unwrap();
        assert!(line.ask(Route::Send, Bytes::new()).await.is_err());
        drop(line);
        assert!(endless.await.unwrap() < 64 * LONGEST_ANSWER);
    }
}
