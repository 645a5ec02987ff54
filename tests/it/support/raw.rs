//! A provider that handles connections as no HTTP library would.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How it handles each request.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Reads the request and sends nothing.
    #[default]
    Hang,
    /// Closes the connection before it reads anything.
    CloseAtOnce,
    CloseAfterRequest,
    /// Reads the request and resets the connection.
    Reset,
    /// Sends exactly this, and closes.
    Say(&'static str),
    /// Sends this, and continues to read: the connection stays open.
    SayAndStay(&'static str),
    /// Sends these bytes as soon as anything arrives, and then nothing.
    Greet(&'static [u8]),
    /// The same, and closes.
    GreetAndClose(&'static [u8]),
    /// Sends the first text once, and then the second again and again, slowly, without end.
    Drip(&'static str, &'static str),
    /// Sends the first text once, and then the second as fast as the client reads, without end.
    Flood(&'static str, &'static str),
}

impl Act {
    /// Whether the provider ends the exchange by itself.
    pub fn ends(self) -> bool {
        !matches!(self, Self::Hang | Self::Drip(..) | Self::Flood(..))
    }
}

/// Listens until dropped.
pub struct Raw {
    pub address: SocketAddr,
    state: Arc<RawState>,
    listening: JoinHandle<()>,
}

#[derive(Default)]
struct RawState {
    act: Mutex<Act>,
    tls: Mutex<Option<TlsAcceptor>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    bytes: AtomicUsize,
    texts: Mutex<Vec<String>>,
}

impl Raw {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0").await.expect("a port")
    }

    pub async fn at(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::<RawState>::default();
        let at = Arc::clone(&state);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                at.connections.fetch_add(1, Ordering::SeqCst);
                let at = Arc::clone(&at);
                at.open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    // Any end of the connection is fine.
                    let _ = at.accept(stream).await;
                    at.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self { address, state, listening })
    }

    /// Handles later requests like this.
    pub fn act(&self, act: Act) {
        *self.state.act.lock().unwrap() = act;
    }

    /// Speaks TLS on later connections, or does not.
    pub fn encrypt(&self, tls: Option<TlsAcceptor>) {
        *self.state.tls.lock().unwrap() = tls;
    }

    pub fn requests(&self) -> usize {
        self.state.texts.lock().unwrap().len()
    }

    /// The complete requests that it has read.
    pub fn texts(&self) -> Vec<String> {
        self.state.texts.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// The number of bytes written.
    pub fn bytes(&self) -> usize {
        self.state.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl RawState {
    async fn accept(&self, mut stream: TcpStream) -> io::Result<()> {
        let (act, tls) = (*self.act.lock().unwrap(), self.tls.lock().unwrap().clone());
        match (act, tls) {
            (_, Some(tls)) => self.serve(&mut tls.accept(stream).await?).await.map(drop),
            (Act::Greet(bytes) | Act::GreetAndClose(bytes), None) => {
                let _ = stream.read(&mut [0; 4096]).await?;
                stream.write_all(bytes).await?;
                match act {
                    Act::GreetAndClose(_) => stream.shutdown().await,
                    _ => wait_for_the_end(&mut stream).await,
                }
            }
            (_, None) => match self.serve(&mut stream).await? {
                Act::Reset => stream.set_zero_linger(),
                _ => Ok(()),
            },
        }
    }

    /// Handles requests; returns the act that ended the connection.
    async fn serve(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Act> {
        loop {
            if *self.act.lock().unwrap() == Act::CloseAtOnce {
                return Ok(Act::CloseAtOnce);
            }
            let request = read_request(stream).await?;
            self.texts.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            let act = *self.act.lock().unwrap();
            match act {
                Act::SayAndStay(text) => {
                    self.say(stream, text).await?;
                    continue;
                }
                Act::Say(text) => {
                    self.say(stream, text).await?;
                    stream.shutdown().await?;
                }
                Act::CloseAtOnce | Act::CloseAfterRequest => stream.shutdown().await?,
                Act::Reset => {}
                Act::Hang | Act::Greet(_) | Act::GreetAndClose(_) => wait_for_the_end(stream).await?,
                Act::Drip(first, again) => {
                    self.say(stream, first).await?;
                    loop {
                        self.say(stream, again).await?;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                Act::Flood(first, again) => {
                    self.say(stream, first).await?;
                    let much = again.repeat(16 * 1024 / again.len() + 1);
                    loop {
                        self.say(stream, &much).await?;
                    }
                }
            }
            return Ok(act);
        }
    }

    async fn say(&self, stream: &mut (impl AsyncWrite + Unpin), text: &str) -> io::Result<()> {
        stream.write_all(text.as_bytes()).await?;
        self.bytes.fetch_add(text.len(), Ordering::SeqCst);
        Ok(())
    }
}

async fn wait_for_the_end(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().expect("a length"));
            if request.len() >= end + 4 + length {
                return Ok(request);
            }
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
