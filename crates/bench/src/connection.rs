//! One HTTP/1.1 connection of a client, with one request at a time.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Answers of the contract have a few hundred bytes; `--target` may name anything.
const LONGEST_ANSWER: usize = 1024 * 1024;

type NoAnswer = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Send,
    Check,
    Ready,
}

pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // An error shows in the request that fails with it.
        tokio::spawn(async move { drop(connection.await) });
        let host = HeaderValue::from_str(&address.to_string()).map_err(io::Error::other)?;
        Ok(Self { sender, host })
    }

    pub async fn request(&mut self, route: Route, body: Bytes) -> Result<(StatusCode, Bytes), NoAnswer> {
        let (method, path) = match route {
            Route::Send => (Method::POST, "/api/send-otp"),
            Route::Check => (Method::POST, "/api/verify-otp"),
            Route::Ready => (Method::GET, "/readyz"),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_static(path);
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await?.to_bytes();
        Ok((status, body))
    }
}

pub fn send_body(digits: u64) -> Bytes {
    Bytes::from(format!(r#"{{"phoneNumber":"+{digits}"}}"#))
}

pub fn check_body(digits: u64, code: &str) -> Bytes {
    Bytes::from(format!(r#"{{"user":{{"phoneNumber":"+{digits}"}},"code":"{code}"}}"#))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_endless_answer_is_not_collected_forever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endless = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let (part, mut written) = (vec![b'a'; 64 * 1024], 0);
            while written < 64 * LONGEST_ANSWER && stream.write_all(&part).await.is_ok() {
                written += part.len();
            }
            written
        });
        let mut connection = Connection::open(address).await.unwrap();
        assert!(connection.request(Route::Send, Bytes::new()).await.is_err());
        drop(connection);
        assert!(endless.await.unwrap() < 64 * LONGEST_ANSWER);
    }
}
