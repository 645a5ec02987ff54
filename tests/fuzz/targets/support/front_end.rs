//! The real front end on loopback, with a double that records its calls in place of the shards.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use onceward::clock::ManualClock;
use onceward::config::{AnswerSet, Bounds, ProxySettings};
use onceward::domain::{Channel, CodeLength, Timestamp};
use onceward::gateway::{BoxFuture, CallbackError, Simulator, TwilioCallbacks};
use onceward::http::{
    CallbackAnswer, CallbackRequest, Callbacks, Deps, EventStreams, LongAnswers, ServedRoutes, V2, Verify,
    serve,
};
use onceward::numbers::{self, CheckOutcome, CheckRequest, Refusal, SendOptions, SendOutcome, SendRequest};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Longer than all time limits of the server.
const HANG: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub is_check: bool,
    /// In E.164 form.
    pub number: String,
    /// The code, if it can be one.
    pub code: Option<String>,
}

/// Notes calls of one kind.
pub struct Notes<C>(Arc<Mutex<Vec<C>>>);

impl<C> Default for Notes<C> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<C> Clone for Notes<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> Notes<C> {
    pub fn note<T: Send + 'static>(&self, call: C, answer: T) -> BoxFuture<'static, T> {
        self.0.lock().expect("not poisoned").push(call);
        Box::pin(async { answer })
    }

    pub fn take(&self) -> Vec<C> {
        std::mem::take(&mut *self.0.lock().expect("not poisoned"))
    }
}

impl Verify for Notes<Call> {
    fn send(&self, request: SendRequest) -> BoxFuture<'_, Result<numbers::Reply<SendOutcome>, Refusal>> {
        let call = Call { is_check: false, number: request.key.number.e164(), code: None };
        let sent = SendOutcome::Sent { attempts_left: 5, message_id: "SM1".to_owned(), postponed: false };
        self.note(call, Ok(numbers::Reply::new(sent, Timestamp::EPOCH, None)))
    }

    fn check(&self, request: CheckRequest) -> BoxFuture<'_, Result<numbers::Reply<CheckOutcome>, Refusal>> {
        let code = request.code.map(|code| code.expose().to_owned());
        let call = Call { is_check: true, number: request.key.number.e164(), code };
        self.note(call, Ok(numbers::Reply::new(CheckOutcome::Approved, Timestamp::EPOCH, None)))
    }
}

/// The real reader of callbacks, with a token of these tests.
struct TwilioReader(TwilioCallbacks);

impl Callbacks for TwilioReader {
    fn receive(&self, request: CallbackRequest) -> BoxFuture<'_, CallbackAnswer> {
        let (content_type, signature) = (request.content_type.as_deref(), request.signature.as_deref());
        let report = match request.kind {
            Some(kind) => self.0.read(kind, &request.path_and_query, content_type, signature, &request.body),
            None => Err(CallbackError::NotFromProvider),
        };
        Box::pin(async move {
            match report {
                Ok(_) => CallbackAnswer::NoContent,
                Err(CallbackError::NotFromTwilio | CallbackError::NotFromProvider) => {
                    CallbackAnswer::BadSignature
                }
                Err(CallbackError::Unreadable(_)) => CallbackAnswer::Unreadable,
            }
        })
    }

    fn path_prefix(&self) -> &'static str {
        "/base"
    }
}

/// A server, and a connection to it that is kept while possible.
pub struct FrontEnd {
    runtime: Runtime,
    address: SocketAddr,
    notes: Notes<Call>,
    kept: Option<TcpStream>,
    v2: Arc<OnceLock<V2>>,
}

impl FrontEnd {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let notes = Notes::<Call>::default();
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        let token = SecretString::from("fuzz-token".to_owned());
        let v2 = Arc::<OnceLock<V2>>::default();
        let deps = Deps {
            v2: v2.clone(),
            admin: Arc::default(),
            verifier: Arc::new(notes.clone()),
            answers: AnswerSet::Documented,
            bounds: Bounds::default(),
            default_region: None,
            lockout: Duration::from_secs(1_800),
            proxies: ProxySettings::default(),
            tutorial_code: SendOptions { life: Duration::from_secs(600), length: CodeLength::SIX },
            readiness: Arc::new(|| Ok(())),
            numbers: Arc::new(|| None),
            gateways: Arc::new(Vec::new),
            channels: vec![Channel::Sms, Channel::WhatsApp],
            callbacks: Some(Arc::new(TwilioReader(TwilioCallbacks::new(
                token,
                "https://otp.example.com/base".into(),
            )))),
            inbox: Some(Arc::new(Simulator::new(clock))),
            simulates_all: false,
            event_streams: EventStreams::default(),
            long_answers: LongAnswers::default(),
            inbox_needs_credentials: false,
            host_name: None,
            cors_origins: Vec::new(),
            tls: None,
            request_id_prefix: 0xabcd_0123,
            tracer: None,
            metrics: Arc::default(),
            reading: Arc::new(|| None),
            routes: ServedRoutes::All,
            forwarder: None,
        };
        let address = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tokio::spawn(serve(listener, pending(), Arc::new(deps)));
            address
        });
        Self { runtime, address, notes, kept: None, v2 }
    }

    pub fn serves_v2(&self, v2: V2) {
        assert!(self.v2.set(v2).is_ok(), "it was not served before");
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(HANG, future).await.expect("no hang") })
    }

    /// Sends one request, and returns the answer and the calls that it caused.
    pub fn ask(&mut self, request: &[u8], is_head: bool) -> (Reply, Vec<Call>) {
        let kept = self.kept.take();
        let (reply, stream) = self.block_on(async {
            let mut stream = match kept {
                Some(stream) => stream,
                None => TcpStream::connect(self.address).await.expect("connect"),
            };
            // The server may answer and close before it has read everything.
            let _ = stream.write_all(request).await;
            let mut bytes = Vec::new();
            loop {
                if let Some((reply, _)) = reply_at(&bytes, is_head) {
                    return (reply, stream);
                }
                let read = stream.read_buf(&mut bytes).await;
                assert!(matches!(read, Ok(1..)), "{read:?} after {:?}", String::from_utf8_lossy(&bytes));
            }
        });
        self.kept = (reply.header("connection") != Some("close")).then_some(stream);
        (reply, self.notes.take())
    }

    /// Sends all bytes on a separate connection, and returns all that come back.
    pub fn say(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.notes.take();
        self.block_on(async {
            let mut stream = TcpStream::connect(self.address).await.expect("connect");
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            // A reset ends the connection too.
            let _ = stream.read_to_end(&mut answer).await;
            answer
        })
    }
}

/// A response, with lower-case header names.
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
}

/// The first response in `bytes` and its length; `None` if it is incomplete.
fn reply_at(bytes: &[u8], is_head: bool) -> Option<(Reply, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).expect("an answer's head is ASCII");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
    let status: u16 = status.unwrap_or_else(|| panic!("no status line: {head:?}"));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, length)| length.parse().expect("a length"));
    let length = if is_head || matches!(status, 100..200 | 204 | 304) { 0 } else { length };
    let body = bytes.get(end..end + length)?;
    let body = String::from_utf8(body.to_vec()).expect("our bodies are text");
    Some((Reply { status, headers, body }, end + length))
}

/// All responses in `bytes`, none of them to a HEAD request.
pub fn replies(bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    let mut at = 0;
    while let Some((reply, length)) = reply_at(&bytes[at..], false) {
        replies.push(reply);
        at += length;
    }
    assert_eq!(at, bytes.len(), "an answer was cut: {:?}", String::from_utf8_lossy(&bytes[at..]));
    replies
}
