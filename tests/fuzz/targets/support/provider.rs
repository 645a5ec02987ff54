//! A provider on loopback with a configurable answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Lives on the runtime that started it.
pub struct Provider {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    answer: Vec<u8>,
    received: Option<String>,
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::<Mutex<Shared>>::default();
        let theirs = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&theirs)));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the answer to all later requests, without header lines that HTTP cannot carry or that frame the body.
    pub fn answers(&self, status: u16, head: &str, body: &[u8]) {
        let body = if matches!(status, 204 | 304) { &[] } else { body };
        let mut answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
        for line in head.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let framing = ["content-length", "transfer-encoding", "connection", "upgrade", "trailer"];
            let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if token
                && !value.chars().any(char::is_control)
                && !framing.contains(&name.to_ascii_lowercase().as_str())
            {
                answer.extend([name, ":", value, "\r\n"]);
            }
        }
        let mut shared = self.shared.lock().expect("not poisoned");
        shared.answer = [answer.as_bytes(), b"\r\n", body].concat();
        shared.received = None;
    }

    /// The last request since the previous call.
    pub fn received(&self) -> Option<String> {
        self.shared.lock().expect("not poisoned").received.take()
    }
}

async fn converse(mut stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    let mut bytes = Vec::new();
    loop {
        while let Some(length) = whole(&bytes) {
            let request: Vec<u8> = bytes.drain(..length).collect();
            let answer = {
                let mut shared = shared.lock().expect("not poisoned");
                shared.received = Some(String::from_utf8_lossy(&request).into_owned());
                shared.answer.clone()
            };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
}

/// The size of the first request in bytes, if it is complete.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    (bytes.len() >= end + length).then_some(end + length)
}
