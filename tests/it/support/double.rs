//! The common part of the provider doubles: each listens on loopback, keeps the requests, and answers as planned, or as
//! its provider would.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::until;

/// How a provider handles requests without a plan. By default they are about no number.
pub trait Provider: Default + Send + Sync + 'static {
    /// The subject of a request, or the answer that says what is wrong with it.
    fn read(&self, _: &Received) -> Result<About, Said> {
        Ok(About { number: String::new(), purpose: RequestPurpose::Other })
    }
    fn accept(&self, received: &Received) -> Said;
    /// The provider's wording of an error about the request's number.
    fn refuse(&self, status: u16, _code: u32, _: &Received) -> Said {
        Said::text(status, "")
    }
    /// The code in a message, or the provider's code for it.
    fn code_in(&self, _: &Received) -> Option<String> {
        None
    }
}

/// How a double reacts to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Accept,
    /// An error in the provider's wording, with the recipient's whole number in the text if the provider includes it.
    Refuse {
        status: u16,
        code: u32,
    },
    /// An error whose code is the code of the message.
    RefuseWithItsCode,
    /// A success whose message id is the message's number and code.
    AcceptWithItsCode,
    /// 429: not executed.
    Busy,
    /// This status with an HTML page, as from a proxy in front of a provider.
    ServerError(u16),
    /// Executes the request, and sends neither JSON nor XML.
    NotJson,
    /// Resets the connection instead of an answer.
    Reset,
    /// Sends no answer until the double is released; then executes the request.
    Hang,
}

/// An answer of a provider.
#[derive(Debug)]
pub struct Said {
    status: u16,
    content_type: &'static str,
    body: String,
}

impl Said {
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, content_type: "application/json", body: body.to_string() }
    }

    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain", body: body.into() }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct About {
    /// The number, in E.164 form.
    pub number: String,
    pub purpose: RequestPurpose,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum RequestPurpose {
    /// Sends a message or calls.
    #[default]
    Send,
    Check,
    Other,
}

impl About {
    pub fn sending_to(number: &str) -> Self {
        Self { number: number.to_owned(), purpose: RequestPurpose::Send }
    }
}

/// A request to a double.
#[derive(Debug, Clone)]
pub struct Received {
    /// Counts from 1.
    pub id: usize,
    pub target: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub form: BTreeMap<String, String>,
    pub about: About,
}

impl Received {
    async fn of(request: Request<Incoming>) -> io::Result<Self> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let mut received = Self {
            id: 0,
            target: format!("{} {}", head.method, head.uri.path()),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            form: BTreeMap::new(),
            body,
            about: About::default(),
        };
        if received.header("content-type").starts_with("application/x-www-form-urlencoded") {
            received.form = url::form_urlencoded::parse(&received.body).into_owned().collect();
        }
        Ok(received)
    }

    /// A field of the form; empty if it is missing.
    pub fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }

    /// A header; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn is_for(&self, end: &str) -> bool {
        self.target.ends_with(end)
    }
}

/// The `Authorization` header for these credentials.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The longest run of digits in a text that could be a code.
pub fn longest_digits(text: &str) -> Option<String> {
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.filter(|run| run.len() >= 4).max_by_key(|run| run.len()).map(str::to_owned)
}

/// Listens on loopback until dropped.
pub struct Double<P> {
    address: SocketAddr,
    state: Arc<DoubleState<P>>,
    listening: JoinHandle<()>,
}

#[derive(Default)]
struct DoubleState<P> {
    provider: P,
    received: Mutex<Vec<Received>>,
    plans: Mutex<HashMap<About, VecDeque<Reply>>>,
    otherwise: Mutex<Option<Reply>>,
    tls: Mutex<Option<TlsAcceptor>>,
    released: watch::Sender<bool>,
}

impl<P: Provider> Double<P> {
    /// Starts a double that accepts every request.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the double");
        let address = listener.local_addr().expect("its address");
        let state = Arc::<DoubleState<P>>::default();
        let listening = tokio::spawn(listen(listener, state.clone()));
        Self { address, state, listening }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Scheme and authority of its URLs.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn provider(&self) -> &P {
        &self.state.provider
    }

    /// The replies to the next sends to this number; later sends are accepted.
    pub fn plan(&self, number: &str, replies: impl IntoIterator<Item = Reply>) {
        let mut plans = self.state.plans.lock().unwrap();
        plans.entry(About::sending_to(number)).or_default().extend(replies);
    }

    /// The replies to the next checks of this number; later, the code decides.
    pub fn plan_checks(&self, number: &str, replies: impl IntoIterator<Item = Reply>) {
        let checks = About { purpose: RequestPurpose::Check, ..About::sending_to(number) };
        self.state.plans.lock().unwrap().entry(checks).or_default().extend(replies);
    }

    /// The reply to every later request without a plan.
    pub fn otherwise(&self, reply: Reply) {
        *self.state.otherwise.lock().unwrap() = Some(reply);
    }

    /// Answers every hanging request, and lets none hang any more.
    pub fn release(&self) {
        self.state.released.send_replace(true);
    }

    /// Speaks TLS on later connections, each for one request.
    pub fn encrypt(&self, tls: TlsAcceptor) {
        *self.state.tls.lock().unwrap() = Some(tls);
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    pub fn received_for(&self, number: &str) -> Vec<Received> {
        let wanted = About::sending_to(number);
        let received = self.state.received.lock().unwrap();
        received.iter().filter(|received| received.about == wanted).cloned().collect()
    }

    /// Every code in a message, whatever happened to the message.
    pub fn codes(&self) -> Vec<String> {
        self.received().iter().filter_map(|received| self.state.code_in(received)).collect()
    }

    /// The code in the last message to this number.
    pub fn code_for(&self, number: &str) -> String {
        self.last_code_for(number).unwrap_or_else(|| panic!("no message for {number} arrived"))
    }

    /// The same, if a message arrived.
    pub fn last_code_for(&self, number: &str) -> Option<String> {
        self.received_for(number).last().and_then(|received| self.state.code_in(received))
    }

    pub async fn arrived(&self, requests: usize) {
        let arrived = async || self.state.received.lock().unwrap().len();
        until("requests at a double", arrived, |arrived| *arrived >= requests).await;
    }

    pub async fn arrived_for(&self, number: &str, sends: usize) {
        let arrived = async || self.received_for(number).len();
        until(&format!("{sends} sends to {number}"), arrived, |arrived| *arrived >= sends).await;
    }
}

impl<P> Drop for Double<P> {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl<P: Provider> DoubleState<P> {
    fn code_in(&self, received: &Received) -> Option<String> {
        if received.about.purpose == RequestPurpose::Send { self.provider.code_in(received) } else { None }
    }

    /// Records a request, and does with it what is planned.
    async fn answer(&self, mut received: Received) -> io::Result<Said> {
        let about = self.provider.read(&received);
        {
            let mut all = self.received.lock().unwrap();
            received.id = all.len() + 1;
            received.about = about.as_ref().cloned().unwrap_or_default();
            all.push(received.clone());
        }
        let about = match about {
            Ok(about) => about,
            Err(complaint) => return Ok(complaint),
        };
        let planned = self.plans.lock().unwrap().get_mut(&about).and_then(VecDeque::pop_front);
        let reply = planned.or(*self.otherwise.lock().unwrap()).unwrap_or(Reply::Accept);
        if reply == Reply::Hang {
            let mut released = self.released.subscribe();
            released.wait_for(|released| *released).await.map_err(io::Error::other)?;
        }
        let received = &received;
        Ok(match reply {
            Reply::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
            Reply::Refuse { status, code } => self.provider.refuse(status, code, received),
            Reply::RefuseWithItsCode => {
                let code = self.code_in(received).and_then(|code| code.parse().ok());
                self.provider.refuse(400, code.expect("a code of digits"), received)
            }
            Reply::AcceptWithItsCode => {
                let said = self.provider.accept(received);
                let mut resource: Value =
                    serde_json::from_str(&said.body).expect("a provider that answers in JSON");
                let code = self.code_in(received).expect("a code");
                resource["sid"] = format!("m-{}-{code}", about.number.trim_start_matches('+')).into();
                Said { body: resource.to_string(), ..said }
            }
            Reply::Busy => self.provider.refuse(429, 20_429, received),
            Reply::ServerError(status) => {
                Said { status, content_type: "text/html", body: "<html>An error</html>".to_owned() }
            }
            Reply::Accept | Reply::Hang => self.provider.accept(received),
            Reply::NotJson => {
                Said { body: "{\"sid\": <queued>".to_owned(), ..self.provider.accept(received) }
            }
        })
    }
}

async fn listen<P: Provider>(listener: TcpListener, state: Arc<DoubleState<P>>) {
    while let Ok((stream, _)) = listener.accept().await {
        // If the double drops a connection, its peer sees a reset instead of an orderly end.
        let _ = stream.set_zero_linger();
        let (state, tls) = (state.clone(), state.tls.lock().unwrap().clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, true, state).await,
                Some(tls) => serve(tls.accept(stream).await?, false, state).await,
            }
            io::Result::Ok(())
        });
    }
}

async fn serve<P: Provider>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    keeps_alive: bool,
    state: Arc<DoubleState<P>>,
) {
    let service = service_fn(move |request| {
        let state = state.clone();
        async move {
            let Said { status, content_type, body } = state.answer(Received::of(request).await?).await?;
            let response = Response::builder().status(status).header(header::CONTENT_TYPE, content_type);
            response.body(body).map_err(io::Error::other)
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    // Tests may end a connection early.
    let _ = server.keep_alive(keeps_alive).serve_connection(TokioIo::new(stream), service).await;
}
