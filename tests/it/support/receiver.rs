//! A receiver of webhooks.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// Receives one event after the other.
pub struct Receiver {
    listener: TcpListener,
    pub url: String,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let url = format!("http://{}/events", listener.local_addr().expect("an address"));
        Self { listener, url }
    }

    /// Returns the next event, after verifying its signature. Skips an event that a kill cut off.
    pub fn next(&self, secret: &str) -> Value {
        loop {
            let (stream, _) = self.listener.accept().expect("an event");
            if let Some(event) = Self::read(stream, secret) {
                return event;
            }
        }
    }

    fn read(mut stream: TcpStream, secret: &str) -> Option<Value> {
        let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
            read.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&read).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let header = |name: &str| {
                let mut lines = head.lines().filter_map(|line| line.split_once(": "));
                lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).expect("the header").1.to_owned()
            };
            if body.len() < header("content-length").parse::<usize>().expect("a length") {
                continue;
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").ok()?;
            let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
            mac.update(format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp")).as_bytes());
            let right = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
            assert_eq!(header("webhook-signature"), right);
            return Some(serde_json::from_str(body).expect("JSON"));
        }
    }
}
