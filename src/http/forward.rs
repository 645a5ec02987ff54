//! Forwarding: in a cluster, a node that does not own the records passes requests on to the node that does.
//!
//! The owner gets the head and the body as they came, with the client's address and a proof that a node of the cluster
//! passed the request on. It never passes one on again. A request that no owner has begun is sent again until one takes
//! it, for as long as `cluster.wait` says. Of one that may have been carried out, a send or a check, the next owner knows by
//! its idempotency key whether it was; others are not sent again, except those that only read.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;
use reqwest::Request;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use url::Url;

use super::proof::{CLIENT, OWNER, PROOF, Proofs, Sender};
use super::request::{self, IDEMPOTENCY_KEY, X_REQUEST_ID};
use super::response::{ErrorFormat, Problem, ResponseExt as _};
use crate::gateway::{GatewayResponse, HttpClient, NoResponse};
use crate::limits::rate::NODE_KEY;
use crate::observe::log_limit::OncePerSecond;
use crate::observe::metrics::NodeState;
use crate::verification::numbers::Refusal;

/// The owner of the records, to which requests go, as this node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestTarget {
    /// This node answers them.
    Local,
    /// Another node.
    Peer { node: String, url: Url },
    /// No node is known to answer them: none owns the records, this node is the owner and loads them or stops, or etcd does
    /// not answer.
    Unknown,
}

/// Passes requests on to the owner.
pub struct Forwarder {
    node: String,
    request_target: watch::Receiver<RequestTarget>,
    client: HttpClient,
    proofs: Proofs,
    /// Limits the requests that are passed on at once.
    in_flight: Arc<Semaphore>,
    /// The longest wait for an owner that takes a request.
    longest_wait: Duration,
    /// Ends the requests in progress: this node starts again.
    pub give_up: CancellationToken,
    /// Requests that this node answers.
    local_requests: watch::Sender<usize>,
    not_reached: OncePerSecond,
    unanswered: OncePerSecond,
    misdirected: OncePerSecond,
    unproven: OncePerSecond,
}

/// A request that this node answers, until it is dropped.
#[derive(Debug)]
pub struct InProgress<'a>(&'a watch::Sender<usize>);

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// The pause before a request goes again to an owner that did not take it, unless another node becomes the owner.
const PAUSE: Duration = Duration::from_millis(50);

/// The longest wait for the begin of an answer: longer than a send may take.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// The longest wait for the readiness of the owner, for which a load balancer waits in turn.
const READINESS_TIME: Duration = Duration::from_secs(1);

/// Time for the answers of a node that another one has replaced. A node that hands over has answered before; one that
/// was stopped or cut off may never answer.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// In the answer of a node that does not own the records: the request was not begun.
static NOT_OWNER: HeaderName = HeaderName::from_static("x-onceward-not-owner");

/// Headers about one connection (RFC 9110, 7.6.1).
static OF_CONNECTION: [HeaderName; 7] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The routes of sends and checks. Below `/v2` a client may give its own key; the others know only that of a node.
static KEYED: [&str; 6] = [
    "/api/send-otp",
    "/api/verify-otp",
    "/send-code",
    "/verify-code",
    "/v2/Services/{ServiceSid}/VerificationCheck",
    "/v2/Services/{ServiceSid}/Verifications",
];

/// An answer of the owner, whose body follows.
pub type Forwarded = hyper::Response<reqwest::Body>;

/// Marks a request whose key this node made.
#[derive(Clone, Copy)]
pub struct Keyed;

/// The result of passing a request on.
pub enum ForwardResult<'a> {
    /// The permit is held until the answer has ended.
    Response(Forwarded, OwnedSemaphorePermit),
    /// This node has become the owner meanwhile, and answers the request itself.
    BecameOwner(InProgress<'a>),
}

/// This node's part in its cluster, in `/readyz`. The names of the fields are part of the answer.
#[derive(Debug, Serialize)]
pub struct NodeStatus {
    node: String,
    /// As in the metric `onceward_cluster_node`.
    state: &'static str,
    /// The name of the node that answers requests, if this one knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

impl Forwarder {
    /// At most `max_in_flight` requests are passed on at once. Each waits for an owner for `longest_wait` at most.
    pub fn new(
        node: String,
        request_target: watch::Receiver<RequestTarget>,
        client: HttpClient,
        proofs: Proofs,
        (max_in_flight, longest_wait): (usize, Duration),
    ) -> Self {
        let in_flight = Arc::new(Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS)));
        Self {
            node,
            request_target,
            client,
            proofs,
            in_flight,
            longest_wait,
            give_up: CancellationToken::new(),
            local_requests: watch::Sender::default(),
            not_reached: OncePerSecond::default(),
            unanswered: OncePerSecond::default(),
            misdirected: OncePerSecond::default(),
            unproven: OncePerSecond::default(),
        }
    }

    /// Who sent a request. A proof is valid for one call.
    pub fn sender(&self, head: &Parts) -> Sender {
        let sender = self.proofs.sender(&head.method, &head.uri, &head.headers);
        if sender == Sender::Unproven {
            self.unproven.note(|count| {
                warn!(
                    count,
                    "request without a valid proof of a node refused; check the clocks of the nodes, and that all have one \
                     server key and one version"
                );
            });
        }
        sender
    }

    pub fn state(&self) -> NodeState {
        match *self.request_target.borrow() {
            RequestTarget::Local => NodeState::Owner,
            RequestTarget::Peer { .. } => NodeState::Standby,
            RequestTarget::Unknown => NodeState::NoOwner,
        }
    }

    /// Warns if a request that a node passed on is meant for another node.
    pub fn warn_if_misdirected(&self, headers: &HeaderMap) {
        let Some(owner) = request::only(headers, &OWNER).filter(|owner| *owner != self.node) else { return };
        let (owner, node) = (owner.to_owned(), self.node.clone());
        self.misdirected.note(move |count| {
            warn!(owner, node, count, "request for another node received; check \"advertise\" of that node");
        });
    }

    /// Says that another node owns the records, if this one knows it.
    pub fn peer(&self) -> Option<String> {
        let RequestTarget::Peer { node, url } = &*self.request_target.borrow() else { return None };
        let at = url.authority();
        Some(format!("this node stands by; node {node} at {at} owns the records of the cluster"))
    }

    /// The part of this node in the cluster.
    pub fn status(&self) -> NodeStatus {
        let owner = match &*self.request_target.borrow() {
            RequestTarget::Local => Some(self.node.clone()),
            RequestTarget::Peer { node, .. } => Some(node.clone()),
            RequestTarget::Unknown => None,
        };
        NodeStatus { node: self.node.clone(), state: self.state().as_str(), owner }
    }

    /// Asks the owner whether it is ready, for at most a second; `Ok` at the owner itself.
    ///
    /// # Errors
    /// The reason why requests that reach this node now are not carried out.
    pub async fn readiness(
        &self,
        is_passed_on: bool,
        client: IpAddr,
        request_id: &HeaderValue,
    ) -> Result<(), String> {
        let target = self.request_target.borrow().clone();
        let (owner, url) = match target {
            RequestTarget::Local => return Ok(()),
            // Two nodes that take each other for the owner must not ask each other in turn.
            RequestTarget::Peer { node, url } if !is_passed_on => (node, url),
            RequestTarget::Peer { .. } | RequestTarget::Unknown => {
                return Err("this node does not own the records of the cluster".to_owned());
            }
        };
        let Ok(_permit) = self.in_flight.try_acquire() else {
            return Err("this node passes on too many requests".to_owned());
        };
        let mut head = hyper::Request::new(()).into_parts().0;
        head.uri = Uri::from_static("/readyz");
        let target = url.join("/readyz").unwrap_or_else(|_| url.clone());
        let request = self.request(&head, &Bytes::new(), client, request_id, &owner, target);
        let answer = tokio::time::timeout(READINESS_TIME, self.client.send(request)).await;
        let address = url.authority();
        let reason = match answer {
            Ok(Ok(answer)) if answer.status.is_success() => return Ok(()),
            Ok(Ok(GatewayResponse { status, body, .. })) => {
                let said = body.and_then(|body| serde_json::from_slice::<Value>(&body).ok());
                let said = said.unwrap_or_default();
                let reasons = said["data"]["reasons"].as_array().into_iter().flatten();
                let reasons: Vec<&str> = reasons.filter_map(Value::as_str).collect();
                let reason = match reasons[..] {
                    [] => format!("it answers HTTP {}", status.as_u16()),
                    _ => reasons.join("; "),
                };
                return Err(format!(
                    "node {owner} at {address} owns the records of the cluster and is not ready: {reason}"
                ));
            }
            Ok(Err(no_answer)) => no_answer.into_reason(),
            Err(_) => "it does not answer within a second".to_owned(),
        };
        Err(format!(
            "this node cannot reach node {owner} at {address}, which owns the records of the cluster: {reason}"
        ))
    }

    /// Counts a request that this node answers; `None` if it is not the owner.
    pub fn begin_local(&self) -> Option<InProgress<'_>> {
        // Counted first: a node that stops being the owner then waits for it.
        self.local_requests.send_modify(|requests| *requests += 1);
        let in_progress = InProgress(&self.local_requests);
        (*self.request_target.borrow() == RequestTarget::Local).then_some(in_progress)
    }

    /// Returns when this node answers no request. It takes no new ones while it is not the owner.
    pub async fn idle(&self) {
        // The sender lives as long as `self`.
        let _ = self.local_requests.subscribe().wait_for(|requests| *requests == 0).await;
    }

    /// Gives a send or a check a key, unless its client gave it one. Returns whether a request can be sent again.
    fn add_key(&self, route: &str, head: &mut Parts) -> bool {
        if head.method != Method::POST || !KEYED.contains(&route) {
            return matches!(head.method, Method::GET | Method::HEAD);
        }
        let given = head.headers.get(&IDEMPOTENCY_KEY).filter(|_| route.starts_with("/v2/"));
        // A client's key that looks like one of a node is replaced: it must not get the meaning of one.
        if given.is_none_or(|key| key.as_bytes().starts_with(NODE_KEY.as_bytes()))
            && let Ok(key) = HeaderValue::try_from(format!("{NODE_KEY}{}", self.proofs.unique()))
        {
            head.headers.insert(&IDEMPOTENCY_KEY, key);
            head.extensions.insert(Keyed);
        }
        true
    }

    /// Passes a request on, and returns the owner's answer as soon as it begins.
    ///
    /// # Errors
    /// After [`Refusal::StoreUnavailable`] the owner may have carried the request out.
    pub async fn forward(
        &self,
        route: &str,
        head: &mut Parts,
        body: &Bytes,
        client: IpAddr,
        request_id: &HeaderValue,
    ) -> Result<ForwardResult<'_>, Problem> {
        let Ok(permit) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            return Err(Problem::Refused(Refusal::Overloaded));
        };
        let mut request_target = self.request_target.clone();
        let mut deadline = pin!(tokio::time::sleep(self.longest_wait));
        let (mut not_reached, mut no_answer) = (None, Problem::NoNode);
        let is_repeatable = self.add_key(route, head);
        loop {
            let now = request_target.borrow_and_update().clone();
            let mut pause = PAUSE;
            match now {
                RequestTarget::Local => {
                    if let Some(in_progress) = self.begin_local() {
                        return Ok(ForwardResult::BecameOwner(in_progress));
                    }
                }
                RequestTarget::Unknown => {}
                RequestTarget::Peer { node, url: peer } => {
                    let Some(url) = same_target(&peer, &head.uri) else {
                        return Err(Problem::NotFound);
                    };
                    let request = self.request(head, body, client, request_id, &node, url);
                    not_reached = match self.send(request, &peer).await {
                        Ok(answer) if answer.headers().contains_key(&NOT_OWNER) => None,
                        Ok(answer) => return Ok(ForwardResult::Response(answer, permit)),
                        Err(NoResponse::NotConnected(reason)) => Some((peer, reason)),
                        Err(failed) => {
                            let reason = failed.into_reason();
                            self.unanswered.note(move |count| {
                                warn!(owner = %peer, reason, count, "forwarded requests without an answer");
                            });
                            no_answer = Problem::Refused(Refusal::StoreUnavailable);
                            if !is_repeatable {
                                return Err(no_answer);
                            }
                            // The same owner may still be at it.
                            pause = LAST_ANSWERS;
                            None
                        }
                    };
                }
            }
            tokio::select! {
                () = self.give_up.cancelled() => return Err(no_answer),
                () = &mut deadline => {
                    if let Some((owner, reason)) = not_reached {
                        self.not_reached.note(move |count| warn!(%owner, reason, count, "owner not reached"));
                    }
                    return Err(no_answer);
                }
                _ = request_target.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Returns when another node owns the records and `peer` had time for its last answers.
    async fn is_replaced(&self, peer: &Url) {
        let is_other = |request_target: &RequestTarget| match request_target {
            RequestTarget::Local => true,
            RequestTarget::Peer { url, .. } => url != peer,
            RequestTarget::Unknown => false,
        };
        if self.request_target.clone().wait_for(is_other).await.is_err() {
            // No change will be known.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(LAST_ANSWERS).await;
    }

    /// The request as it goes to the owner, at this URL.
    pub fn request(
        &self,
        head: &Parts,
        body: &Bytes,
        client: IpAddr,
        request_id: &HeaderValue,
        owner: &str,
        url: Url,
    ) -> Request {
        let mut request = Request::new(head.method.clone(), url);
        let mut headers = head.headers.clone();
        without_connection_headers(&mut headers);
        // HTTP/2 has the host in the target.
        if let Some(host) = head.uri.host().and_then(|host| HeaderValue::from_str(host).ok()) {
            headers.entry(HOST).or_insert(host);
        }
        // An address is visible ASCII.
        if let Ok(client) = HeaderValue::try_from(client.to_string()) {
            headers.insert(&CLIENT, client);
        }
        // A name has only letters, digits, `-` and `_`.
        if let Ok(owner) = HeaderValue::try_from(owner) {
            headers.insert(&OWNER, owner);
        }
        headers.insert(&X_REQUEST_ID, request_id.clone());
        let target = &request.url()[url::Position::BeforePath..url::Position::AfterQuery];
        // The proof covers the headers: it comes after the last of them.
        let proof = self.proofs.of(request.method(), target, &headers, body);
        headers.insert(&PROOF, proof);
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.clone().into());
        request
    }

    /// Sends a request to the owner. After an error other than [`NoResponse::NotConnected`] the owner may have carried it out.
    async fn send(&self, request: Request, peer: &Url) -> Result<Forwarded, NoResponse> {
        let answer = tokio::select! {
            answer = self.client.begin(request) => answer,
            () = tokio::time::sleep(ANSWER_TIME) => Err(NoResponse::Broken("no answer within 30 s")),
            () = self.give_up.cancelled() => Err(NoResponse::Broken("this node starts again")),
            () = self.is_replaced(peer) => Err(NoResponse::Broken("another node owns the records by now")),
        };
        let mut answer: Forwarded = answer?.into();
        without_connection_headers(answer.headers_mut());
        Ok(answer)
    }
}

/// The target of a request at another node. `None` for a path that a URL does not keep, such as one with the segment
/// `%2e%2e`: no route has such a path.
fn same_target(peer: &Url, uri: &Uri) -> Option<Url> {
    let mut url = peer.clone();
    url.set_path(uri.path());
    url.set_query(uri.query());
    percent_decode_str(url.path()).eq(percent_decode_str(uri.path())).then_some(url)
}

/// The answer to a request that another node passed on to this one, which does not own the records.
pub fn not_owner() -> Response {
    Problem::NoNode.answer(ErrorFormat::Envelope).with(NOT_OWNER.clone(), HeaderValue::from_static("1"))
}

fn without_connection_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|names| names.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_CONNECTION.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::time::timeout;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;

    const ID: &str = "0190a5c1-7b2e-7c3d-8f4a-5b6c7d8e9fa0";

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test(start_paused = true)]
    async fn without_an_owner_a_request_is_refused_after_two_seconds() {
        let (_owner, known) = watch::channel(RequestTarget::Unknown);
        let forwarder = forwarder(known);
        let request = hyper::Request::post("/api/send-otp").body(()).expect("a request");
        let (mut head, body, id) = (request.into_parts().0, Bytes::new(), HeaderValue::from_static(ID));
        let mut answer = std::pin::pin!(forwarder.forward("/api/send-otp", &mut head, &body, CLIENT, &id));
        let within = |milliseconds| Duration::from_millis(milliseconds);
        assert!(timeout(within(1_900), &mut answer).await.is_err());
        let answer = timeout(within(200), answer).await.expect("a refusal");
        assert_eq!(answer.err(), Some(Problem::NoNode));
    }

    #[tokio::test]
    async fn a_node_that_hands_over_waits_for_the_requests_that_it_has_begun() {
        let (owner, known) = watch::channel(RequestTarget::Local);
        let forwarder = forwarder(known);
        let in_progress = forwarder.begin_local().expect("this node is the owner");
        owner.send_replace(RequestTarget::Unknown);
        assert!(forwarder.begin_local().is_none());
        let mut idle = Box::pin(forwarder.idle());
        assert!(futures_util::poll!(&mut idle).is_pending());
        drop(in_progress);
        idle.await;
    }

    fn forwarder(owner: watch::Receiver<RequestTarget>) -> Forwarder {
        let client = HttpClient::for_peers(false, None).expect("a client");
        let clock = Arc::new(ManualClock::starting_at(Timestamp::EPOCH));
        let proofs = Proofs::new(b"a secret of all nodes", 0, clock);
        Forwarder::new("a".to_owned(), owner, client, proofs, (8, Duration::from_secs(2)))
    }
}
