//! An HTTP/1 client that sends exactly the bytes it is given.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;

/// The longest time that a test waits for an answer.
const HANG: Duration = Duration::from_secs(20);

/// The same for paused time: longer than all limits of the server.
const HANG_IN_PAUSED_TIME: Duration = Duration::from_secs(100_000);

pub struct Client<S = TcpStream> {
    stream: BufReader<S>,
    hang: Duration,
}

/// A response. Header names are in lower case.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    #[track_caller]
    pub fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body));
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connect");
        Self { stream: BufReader::new(stream), hang: HANG }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn in_paused_time(stream: S) -> Self {
        Self { stream: BufReader::new(stream), hang: HANG_IN_PAUSED_TIME }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).await.expect("send");
    }

    /// Sends bytes that the server may not read to their end.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref()).await;
    }

    pub async fn half_close(&mut self) {
        self.stream.get_mut().shutdown().await.expect("half-close");
    }

    pub async fn reply(&mut self) -> Reply {
        let mut reply = self.reply_without_body().await;
        let length: usize = reply.header("content-length").expect("a length").parse().expect("a number");
        reply.body = self.body(length).await;
        reply
    }

    /// Reads a body, or a part of one.
    pub async fn body(&mut self, length: usize) -> String {
        let mut body = vec![0; length];
        tokio::time::timeout(self.hang, self.stream.read_exact(&mut body))
            .await
            .expect("no hang")
            .expect("a body");
        String::from_utf8(body).expect("UTF-8")
    }

    pub async fn reply_without_body(&mut self) -> Reply {
        let status_line = self.line().await;
        let status = status_line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let mut headers = HashMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        Reply { status: status.expect("a status"), headers, body: String::new() }
    }

    /// Reads to the end of the connection.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let read =
            tokio::time::timeout(self.hang, self.stream.read_to_end(&mut rest)).await.expect("no hang");
        // A reset ends the connection too.
        let _ = read;
        String::from_utf8_lossy(&rest).into_owned()
    }

    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::time::timeout(self.hang, self.stream.read_line(&mut line))
            .await
            .expect("no hang")
            .expect("a line");
        line.trim_end().to_owned()
    }
}

pub fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}
