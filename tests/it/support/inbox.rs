//! The simulator's inbox, as a program reads it.

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{Client, longest_digits, soon};

/// The messages to this number, the newest first.
pub async fn inbox(client: &Client, number: &str) -> Vec<Value> {
    let answer =
        client.get(&format!("/inbox/messages?to={}", number.replace('+', "%2B"))).await.expects_status(200);
    answer.json()["messages"].as_array().expect("a list").clone()
}

pub fn code_in(message: &Value) -> String {
    let text = message["text"].as_str().expect("a text");
    longest_digits(text).expect("a code")
}

/// Reads until this text has come.
pub async fn until_text(reader: &mut TcpStream, wanted: &str) {
    let mut text = String::new();
    soon(wanted, async {
        while !text.contains(wanted) {
            let mut piece = [0; 512];
            let read = reader.read(&mut piece).await.expect("an open stream");
            assert_ne!(read, 0, "the stream ended after {text:?}");
            text.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    })
    .await;
}
