//! Connections that are slow in every way that a client can be.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slow {
    /// Sends nothing.
    Idle,
    /// Sends one request, and never another.
    KeptAlive,
    /// Begins a head and does not end it.
    Head,
    /// Ends the head and not the body.
    Body,
    /// Sends requests, and never reads the answers.
    Reader,
    /// Closes its side within a head.
    HalfClosed,
}

impl Slow {
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::KeptAlive, Self::Head, Self::Body, Self::Reader, Self::HalfClosed];

    /// Opens one. `None` if the server refused it.
    pub async fn open(self, address: SocketAddr) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let begin = "POST /api/verify-otp HTTP/1.1\r\nhost: t\r\ncontent-length: 90\r\n";
        let ask = "GET /nothing HTTP/1.1\r\nhost: t\r\n\r\n";
        let bytes = match self {
            Self::Idle => Vec::new(),
            Self::KeptAlive => ask.into(),
            Self::Head | Self::HalfClosed => begin.into(),
            Self::Body => format!("{begin}\r\n{{\"user\"").into(),
            Self::Reader => ask.repeat(20).into(),
        };
        stream.write_all(&bytes).await.ok()?;
        if self == Self::HalfClosed {
            stream.shutdown().await.ok()?;
        }
        Some(stream)
    }
}
