//! The common part of the provider doubles: each listens on loopback, keeps the requests, and answers as planned, or as
//! its provider would.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::received::{About, Received, RequestPurpose, take_in};
use super::reply::{self, Reaction, Reply, Said};
use super::soon;

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

/// Listens on loopback until dropped.
pub struct Double<P> {
    address: SocketAddr,
    state: Arc<DoubleState<P>>,
    listening: JoinHandle<()>,
}

struct DoubleState<P> {
    provider: P,
    received: Mutex<Vec<Received>>,
    plans: Mutex<Plans>,
    tls: Mutex<Option<TlsAcceptor>>,
    arrivals: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

#[derive(Default)]
struct Plans {
    sends: HashMap<String, VecDeque<Reply>>,
    checks: HashMap<String, VecDeque<Reply>>,
    otherwise: Option<Reply>,
}

impl<P: Provider> Double<P> {
    /// Starts a double that accepts every request.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the double");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(DoubleState {
            provider: P::default(),
            received: Mutex::default(),
            plans: Mutex::default(),
            tls: Mutex::default(),
            arrivals: watch::Sender::new(0),
            released: watch::Sender::new(false),
        });
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
        self.plans(|plans| plans.sends.entry(number.to_owned()).or_default().extend(replies));
    }

    /// The replies to the next checks of this number; later, the code decides.
    pub fn plan_checks(&self, number: &str, replies: impl IntoIterator<Item = Reply>) {
        self.plans(|plans| plans.checks.entry(number.to_owned()).or_default().extend(replies));
    }

    /// The reply to every later request without a plan.
    pub fn otherwise(&self, reply: Reply) {
        self.plans(|plans| plans.otherwise = Some(reply));
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
        let is_wanted = |received: &Received| received.is_about(number, RequestPurpose::Send);
        self.received().into_iter().filter(is_wanted).collect()
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
        self.wait_until(&format!("{requests} requests at a double"), |received| received.len() >= requests)
            .await;
    }

    pub async fn arrived_for(&self, number: &str, sends: usize) {
        let what = format!("{sends} sends to {number}");
        let is_wanted = |received: &&Received| received.is_about(number, RequestPurpose::Send);
        self.wait_until(&what, |received| received.iter().filter(is_wanted).count() >= sends).await;
    }

    async fn wait_until(&self, what: &str, enough: impl Fn(&[Received]) -> bool) {
        let mut arrivals = self.state.arrivals.subscribe();
        let done = arrivals.wait_for(|_| enough(&self.state.received.lock().unwrap()));
        soon(what, done).await.expect("the double lives");
    }

    fn plans(&self, change: impl FnOnce(&mut Plans)) {
        change(&mut self.state.plans.lock().unwrap());
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

    /// Records a request, and wakes the tests that wait for it.
    fn note(&self, mut received: Received) -> Result<Received, Said> {
        let about = self.provider.read(&received);
        {
            let mut all = self.received.lock().unwrap();
            received.id = all.len() + 1;
            received.about = about.as_ref().cloned().unwrap_or_default();
            all.push(received.clone());
        }
        self.arrivals.send_replace(received.id);
        about.map(|_| received)
    }

    fn planned_for(&self, about: &About) -> Reply {
        let mut plans = self.plans.lock().unwrap();
        let of_number = match about.purpose {
            RequestPurpose::Send => plans.sends.get_mut(&about.number),
            RequestPurpose::Check => plans.checks.get_mut(&about.number),
            RequestPurpose::Other => None,
        };
        of_number.and_then(VecDeque::pop_front).or(plans.otherwise).unwrap_or(Reply::Accept)
    }

    async fn answer(&self, received: Received) -> Result<Reaction, io::Error> {
        let noted = self.note(received);
        let received = match &noted {
            Ok(received) => received,
            Err(complaint) => return Ok(complaint.clone().into()),
        };
        let reply = self.planned_for(&received.about);
        if reply == Reply::Hang {
            let mut released = self.released.subscribe();
            released.wait_for(|released| *released).await.map_err(io::Error::other)?;
        }
        let said = match reply {
            Reply::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
            Reply::Refuse { status, code } => self.provider.refuse(status, code, received),
            Reply::RefuseWithItsCode => {
                let code = self.code_in(received).and_then(|code| code.parse().ok());
                self.provider.refuse(400, code.expect("a code of digits"), received)
            }
            Reply::AcceptWithItsCode => {
                let code = self.code_in(received).expect("a code");
                let id = format!("m-{}-{code}", received.about.number.trim_start_matches('+'));
                self.provider.accept(received).with_id(&id)
            }
            Reply::Busy => self.provider.refuse(429, reply::TOO_MANY_REQUESTS, received),
            Reply::ServerError(status) => Said::html(status),
            Reply::Accept | Reply::Hang => self.provider.accept(received),
            Reply::NotJson => self.provider.accept(received).garbled(),
        };
        Ok(said.into())
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
        async move { state.answer(take_in(request).await?).await }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    // Tests may end a connection early.
    let _ = server.keep_alive(keeps_alive).serve_connection(TokioIo::new(stream), service).await;
}
