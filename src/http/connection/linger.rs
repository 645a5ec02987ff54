//! Closing a connection whose input was not read to its end.
//!
//! A socket that is closed with unread input resets the connection, and the reset can overtake
//! the answer: the client then sees a broken connection where it was told what is wrong. So the
//! rest is read and thrown away, within limits.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Stream;

/// Longest time to read what nobody wants.
const TIME: Duration = Duration::from_secs(2);

/// Most bytes of it. A client that sends more would not read its answer soon.
const BYTES: u64 = 8 * 1024 * 1024;

/// Reads until the peer closes too, or a limit is reached.
pub async fn linger(stream: &mut impl Stream) {
    let drain = async {
        let mut sink = [0; 8 * 1024];
        let mut rest = stream.take(BYTES);
        while let Ok(1..) = rest.read(&mut sink).await {}
    };
    // A limit that is reached is no error: the answer had its chance.
    let _ = tokio::time::timeout(TIME, drain).await;
}

/// Answers a connection that is not served, and closes it.
pub async fn turn_away(mut stream: impl Stream, answer: Bytes) {
    if stream.write_all(&answer).await.is_ok() && stream.shutdown().await.is_ok() {
        linger(&mut stream).await;
    }
}
