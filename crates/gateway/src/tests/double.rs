//! A provider on loopback that follows a test's script, byte by byte.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends")]

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::OutgoingMessage;
use crate::domain::{AttemptId, AttemptLogKey, Channel, Code, CodeLength, PhoneNumber, ServiceId};
use crate::template::Wording;

/// The reaction to a complete request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Write this and keep the connection.
    Bytes(String),
    /// Write this and close the connection without announcing it.
    BytesThenClose(String),
    /// Write this and then an endless body.
    Endless(String),
    /// Write this and then nothing, and keep the connection open.
    Silence(String),
    /// Close with a TCP reset.
    Reset,
}

impl Reply {
    /// A whole answer with a JSON body.
    pub fn json(status: u16, body: &str) -> Self {
        Self::Bytes(answer(status, &[], body))
    }

    /// Twilio's answer to an accepted message.
    pub fn created(sid: &str) -> Self {
        Self::json(201, &format!(r#"{{"sid":"{sid}","status":"queued","to":"+14155552671"}}"#))
    }
}

/// The bytes of an answer.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> String {
    let length = body.len();
    let mut head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    format!("{head}\r\n{body}")
}

/// A request on the wire.
#[derive(Debug, Clone)]
pub struct Received {
    /// `POST /path HTTP/1.1`.
    pub request_line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The form's fields, decoded, in order.
    pub fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

type Answer = dyn Fn(&Received) -> Option<Reply> + Send + Sync;

pub struct Double {
    address: SocketAddr,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Double {
    /// Serves the replies in order, one to each request on any connection. Records a request after the script's end and
    /// closes its connection.
    pub async fn playing(script: impl IntoIterator<Item = Reply>) -> Self {
        let script = Mutex::new(script.into_iter().collect::<VecDeque<_>>());
        Self::answering(move |_| script.lock().expect("the script").pop_front()).await
    }

    /// Answers each request as it says; `None` closes the connection.
    pub async fn answering(answer: impl Fn(&Received) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let answer: Arc<Answer> = Arc::new(answer);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (received_tx, received) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, answer.clone(), received_tx.clone()));
            }
        });
        Self { address, received }
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request, once it has come.
    pub async fn request(&mut self) -> Received {
        self.received.recv().await.expect("the double is running")
    }

    /// The requests that arrived since the last look.
    pub fn further_requests(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

/// An address without a listener: no test listens on port 1, and the system gives it to none.
pub const REFUSING_URL: &str = "http://127.0.0.1:1";

async fn converse(
    mut stream: TcpStream,
    answer: Arc<Answer>,
    received: mpsc::UnboundedSender<Received>,
) -> io::Result<()> {
    let mut unread = Vec::new();
    loop {
        let Some(request) = take_request(&mut unread) else {
            // The client has closed the connection.
            if stream.read_buf(&mut unread).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let reply = answer(&request);
        let _ = received.send(request);
        match reply {
            None => return Ok(()),
            Some(Reply::Bytes(bytes)) => stream.write_all(bytes.as_bytes()).await?,
            Some(Reply::BytesThenClose(bytes)) => return stream.write_all(bytes.as_bytes()).await,
            Some(Reply::Endless(head)) => {
                stream.write_all(head.as_bytes()).await?;
                loop {
                    stream.write_all(&[b'x'; 8192]).await?;
                }
            }
            Some(Reply::Silence(bytes)) => {
                stream.write_all(bytes.as_bytes()).await?;
                std::future::pending::<()>().await;
            }
            Some(Reply::Reset) => return stream.set_zero_linger(),
        }
    }
}

/// A whole request with a `Content-Length`, if it has arrived.
fn take_request(unread: &mut Vec<u8>) -> Option<Received> {
    let head_end = unread.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&unread[..head_end]).expect("ASCII");
    let mut lines = head.split("\r\n").map(str::to_owned);
    let request_line = lines.next().expect("a request line");
    let header = |line: String| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned()));
    let headers: Vec<_> = lines.map(|line| header(line).expect("a header")).collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |(_, value)| value.parse().expect("a length"));
    let end = head_end + 4 + length;
    let body = String::from_utf8(unread.get(head_end + 4..end)?.to_vec()).expect("UTF-8");
    unread.drain(..end);
    Some(Received { request_line, headers, body })
}

/// The `X-Twilio-Signature` of a form that Twilio posts to this URL, as its documentation says and without the product's
/// code: the URL, and the sorted fields, each pair once.
pub fn twilio_signature(token: &str, url: &str, form: &str) -> String {
    let fields: BTreeSet<_> = url::form_urlencoded::parse(form.as_bytes()).collect();
    let signed: String = fields.into_iter().flat_map(|(name, value)| [name, value]).collect();
    let mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("a key of any length");
    STANDARD.encode(mac.chain_update(url).chain_update(signed).finalize().into_bytes())
}

/// A text message with the code 012345.
pub fn message(text: &str) -> OutgoingMessage {
    OutgoingMessage {
        to: PhoneNumber::from_u64(14_155_552_671).expect("a number"),
        channel: Channel::Sms,
        text: text.to_owned(),
        locale: None,
        wording: Wording::Api,
        code: Code::from_value(12_345, CodeLength::SIX),
        valid_for: Duration::from_millis(25_900),
        attempt: AttemptId { key: AttemptLogKey::new(ServiceId::DEFAULT, 0, 0), attempt: 0 },
        callback: None,
        sender_name: None,
        send_digits: None,
    }
}
