//! An HTTP/1 client that sends exactly the bytes it is given.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;

/// The longest time that a test waits for an answer.
const HANG: Duration = Duration::from_secs(20);

/// The same for paused time: longer than all limits of the server.
pub(crate) const HANG_IN_PAUSED_TIME: Duration = Duration::from_secs(100_000);

pub struct Client<S = TcpStream> {
    stream: BufReader<S>,
    hang: Duration,
}

/// A response. Header names are in lower case.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The length of its body, unless it answers a HEAD request. `None` if only the end of the connection tells it.
    pub fn length(&self) -> Option<usize> {
        match self.status {
            100..200 | 204 | 304 => Some(0),
            _ => self.header("content-length").map(|length| length.parse().expect("a number")),
        }
    }

    #[track_caller]
    pub fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body));
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("connect"), HANG)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S, hang: Duration) -> Self {
        Self { stream: BufReader::new(stream), hang }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).await.expect("send");
    }

    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Reply {
        self.send(request).await;
        self.reply().await
    }

    /// Sends bytes that the server may not read to their end.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref()).await;
    }

    /// Closes its side of a connection, which the server may have ended.
    pub async fn half_close(&mut self) {
        let _ = self.stream.get_mut().shutdown().await;
    }

    /// The next reply, whose head must say how long it is. Not to a HEAD request.
    pub async fn reply(&mut self) -> Reply {
        let mut reply = self.reply_without_body().await;
        reply.body = self.body(reply.length().expect("a length")).await;
        reply
    }

    /// The replies up to the end of the connection.
    pub async fn replies(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        while self.has_more().await {
            replies.push(self.reply().await);
        }
        replies
    }

    async fn has_more(&mut self) -> bool {
        let read = tokio::time::timeout(self.hang, self.stream.fill_buf()).await.expect("no hang");
        // A reset ends the connection too.
        read.is_ok_and(|bytes| !bytes.is_empty())
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

    /// The head of the next reply.
    pub async fn reply_without_body(&mut self) -> Reply {
        let status_line = self.line().await;
        let status = status_line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            if line.is_empty() {
                return Reply { status, headers, body: String::new() };
            }
            let (name, value) = line.split_once(": ").expect("a header");
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    /// Reads to the end of the connection.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset ends the connection too.
        let _ = tokio::time::timeout(self.hang, self.stream.read_to_end(&mut rest)).await.expect("no hang");
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// A line of a head, without its end.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::time::timeout(self.hang, self.stream.read_line(&mut line))
            .await
            .expect("no hang")
            .expect("a line");
        line.strip_suffix("\r\n").unwrap_or_else(|| panic!("a head was cut: {line:?}")).to_owned()
    }
}

pub fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

pub fn json(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.body))
}

/// Asserts that a reply is this error, in Twilio's form.
#[track_caller]
pub fn is_error(reply: &Reply, status: u16, code: u32) {
    let found = json(reply);
    let Some(message) = found["message"].as_str().filter(|message| !message.is_empty()) else {
        panic!("{} without a message: {found}", reply.status)
    };
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    let whole =
        serde_json::json!({ "code": code, "message": message, "more_info": more_info, "status": status });
    assert_eq!((reply.status, &found), (status, &whole));
}
