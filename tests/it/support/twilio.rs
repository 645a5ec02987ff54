//! A double of Twilio's Messages API: takes the same requests, gives the same answers, and fails
//! in the ways that Twilio, a proxy or a network can.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::soon;

/// The account that the tests' server knows.
pub const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
/// Its password.
pub const AUTH_TOKEN: &str = "5ecre7-t0ken-0f-the-acc0unt-9f8e7d";
/// Its number.
pub const SENDER: &str = "+15005550006";

/// What the double does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// 201: queued.
    Accept,
    /// An error as Twilio words it, with the recipient's whole number in the text.
    Refuse {
        /// HTTP status.
        status: u16,
        /// Twilio's error code.
        code: u32,
    },
    /// 429: never processed.
    Busy,
    /// This status with an HTML page, as a proxy in front of Twilio would answer.
    ServerError(u16),
    /// 201 with something that is not JSON.
    NotJson,
    /// 201 with half a body, then the connection ends.
    CutShort,
    /// The connection is reset instead of an answer.
    Reset,
    /// No answer until [`Twilio::release`], then 201.
    Hang,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// The method and the path.
    pub target: String,
    /// The header of that name.
    pub authorization: String,
    /// The form's fields.
    pub form: BTreeMap<String, String>,
}

/// The double, listening on loopback until dropped.
pub struct Twilio {
    address: SocketAddr,
    desk: Arc<Desk>,
    listening: JoinHandle<()>,
}

struct Desk {
    received: Mutex<Vec<Received>>,
    planned: Mutex<HashMap<String, VecDeque<Reply>>>,
    arrivals: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

impl Twilio {
    /// Starts a double that accepts everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the double");
        let address = listener.local_addr().expect("its address");
        let desk = Arc::new(Desk {
            received: Mutex::default(),
            planned: Mutex::default(),
            arrivals: watch::Sender::new(0),
            released: watch::Sender::new(false),
        });
        let listening = tokio::spawn(listen(listener, desk.clone()));
        Self { address, desk, listening }
    }

    /// What `TWILIO_BASE_URL` must be.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the next messages to this number get; after these, they are accepted.
    pub fn plan(&self, number: &str, replies: impl IntoIterator<Item = Reply>) {
        self.desk.planned.lock().unwrap().entry(number.to_owned()).or_default().extend(replies);
    }

    /// Answers everything that hangs, and lets nothing hang any more.
    pub fn release(&self) {
        self.desk.released.send_replace(true);
    }

    /// The requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.desk.received.lock().unwrap().clone()
    }

    /// The requests for this number so far.
    pub fn received_for(&self, number: &str) -> Vec<Received> {
        let received = self.desk.received.lock().unwrap();
        received.iter().filter(|received| received.field("To") == number).cloned().collect()
    }

    /// Every code that a message carried, whatever became of the message.
    pub fn codes(&self) -> Vec<String> {
        self.received().iter().filter_map(Received::code).collect()
    }

    /// The code in the last message to this number.
    pub fn code_for(&self, number: &str) -> String {
        self.last_code_for(number).unwrap_or_else(|| panic!("no message for {number} arrived"))
    }

    /// The same, if there was one.
    pub fn last_code_for(&self, number: &str) -> Option<String> {
        let received = self.desk.received.lock().unwrap();
        received.iter().rfind(|received| received.field("To") == number).and_then(Received::code)
    }

    /// Waits until this many requests have arrived since the start.
    pub async fn arrived(&self, requests: usize) {
        let mut arrivals = self.desk.arrivals.subscribe();
        let done = arrivals.wait_for(|count| *count >= requests);
        soon(&format!("{requests} requests at Twilio"), done).await.expect("the double lives");
    }
}

impl Drop for Twilio {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Received {
    /// One of the form's fields, empty when it is missing.
    pub fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }

    /// The longest run of digits in the text.
    fn code(&self) -> Option<String> {
        let runs = self.field("Body").split(|c: char| !c.is_ascii_digit());
        runs.filter(|run| run.len() >= 4).max_by_key(|run| run.len()).map(str::to_owned)
    }
}

type Reaction = Response<UnsyncBoxBody<Bytes, io::Error>>;

async fn listen(listener: TcpListener, desk: Arc<Desk>) {
    while let Ok((stream, _)) = listener.accept().await {
        // Whenever the double drops a connection, its peer sees a reset and not an orderly end.
        let _ = stream.set_zero_linger();
        let desk = desk.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| react(desk.clone(), request));
            // A connection that ends early is part of the game.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn react(desk: Arc<Desk>, request: Request<Incoming>) -> Result<Reaction, io::Error> {
    let target = format!("{} {}", request.method(), request.uri().path());
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|a| a.to_str().ok()).unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let form = parse_form(&body);
    let to = form.get("To").cloned().unwrap_or_default();
    let id = {
        let mut received = desk.received.lock().unwrap();
        received.push(Received { target, authorization, form });
        received.len()
    };
    let planned = desk.planned.lock().unwrap().get_mut(&to).and_then(VecDeque::pop_front);
    let reply = planned.unwrap_or(Reply::Accept);
    desk.arrivals.send_replace(id);
    if reply == Reply::Hang {
        let mut released = desk.released.subscribe();
        released.wait_for(|released| *released).await.map_err(io::Error::other)?;
    }
    answer(reply, id, &to)
}

fn answer(reply: Reply, id: usize, to: &str) -> Result<Reaction, io::Error> {
    let json = "application/json";
    let queued = json!({"sid": format!("SM{id:032x}"), "status": "queued", "to": to, "error_code": null});
    Ok(match reply {
        Reply::Accept | Reply::Hang => respond(201, json, queued.to_string()),
        Reply::Refuse { status, code } => {
            let error = json!({
                "code": code,
                "message": format!("The message to {to} was refused"),
                "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
                "status": status,
            });
            respond(status, json, error.to_string())
        }
        Reply::Busy => {
            let error = json!({"code": 20429, "message": "Too Many Requests", "status": 429});
            respond(429, json, error.to_string())
        }
        Reply::ServerError(status) => respond(status, "text/html", "<html>An error</html>".to_owned()),
        Reply::NotJson => respond(201, json, "{\"sid\": <queued>".to_owned()),
        Reply::CutShort => {
            let whole = queued.to_string();
            let half = Bytes::copy_from_slice(&whole.as_bytes()[..whole.len() / 2]);
            let frames = [Ok(Frame::data(half)), Err(io::ErrorKind::ConnectionReset.into())];
            let mut response = Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync());
            *response.status_mut() = StatusCode::CREATED;
            response.headers_mut().insert(header::CONTENT_LENGTH, whole.len().into());
            response
        }
        Reply::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
    })
}

fn respond(status: u16, content_type: &str, body: String) -> Reaction {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {}).boxed_unsync())
        .expect("a response")
}

/// Reads `application/x-www-form-urlencoded`, the form of every request to Twilio.
fn parse_form(body: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(body).into_owned();
    let fields = text.split('&').filter_map(|field| field.split_once('='));
    fields.map(|(name, value)| (percent_decode(name), percent_decode(value))).collect()
}

fn percent_decode(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next(), bytes.next()].map(|digit| digit.expect("two hex digits"));
                let digits = std::str::from_utf8(&digits).expect("ASCII");
                u8::from_str_radix(digits, 16).expect("hex digits")
            }
            other => other,
        });
    }
    String::from_utf8(decoded).expect("UTF-8")
}
