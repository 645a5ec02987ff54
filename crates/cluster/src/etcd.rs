//! A client of etcd, with the calls that the store and the ownership need.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::stream::{self, StreamExt as _};
use prost::Message;
use tokio::time::{sleep, timeout};
use tonic::client::Grpc;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, IntoStreamingRequest as _, Request as GrpcRequest, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::messages::{
    Compare, DeleteRequest, Empty, KeyValue, LeaseGrantRequest, LeaseRequest, LeaseResponse, PutRequest,
    RangeRequest, RangeResponse, Request, RequestOp, Response, TxnRequest, TxnResponse, WatchCreateRequest,
    WatchRequest, WatchResponse,
};

/// The longest duration of a call, over all members.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// The longest wait for one member. Three members get their turn within [`DEADLINE`].
const ATTEMPT: Duration = Duration::from_millis(600);
const CONNECT: Duration = Duration::from_millis(500);
/// Wait before the same member is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// Keys that are read at once.
pub const PAGE: i64 = 2_000;

const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";
const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// etcd's words for a lease that has ended.
pub const LEASE_NOT_FOUND: &str = "lease not found";

/// A call to etcd failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// A member refused the request. It was not carried out.
    #[error("etcd refuses the request: {0}")]
    Refused(String),
    /// No member said in time whether it carried out the request.
    #[error("etcd does not answer: {0}")]
    Unknown(String),
    /// This machine failed: no thread, no random bytes.
    #[error("{0}")]
    Local(String),
}

impl ClientError {
    /// Why a member refused the request; `None` if none did.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            Self::Refused(why) => Some(why.clone()),
            Self::Unknown(_) | Self::Local(_) => None,
        }
    }
}

/// TLS towards etcd. Each file in PEM.
#[derive(Clone)]
pub struct EtcdTls {
    /// The authorities that signed the members' certificates.
    pub ca: Vec<u8>,
    /// The client's certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A client of one etcd cluster. It asks one member until that fails, then the next. Belongs to the runtime in which
/// it was made.
pub struct Client {
    members: Vec<Member>,
    current: AtomicUsize,
}

struct Member {
    endpoint: Endpoint,
    channel: ArcSwap<Channel>,
}

impl Client {
    /// A client of the members at these URLs. Connects when it is used.
    ///
    /// # Errors
    /// A description of the URL or the TLS file that cannot be used.
    pub fn new(urls: &[String], tls: Option<&EtcdTls>) -> Result<Self, String> {
        let tls = tls.map(|EtcdTls { ca, identity }| {
            let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
            match identity {
                Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
                None => config,
            }
        });
        let member = |url: &String| {
            let wrong = |error: tonic::transport::Error| format!("{url} cannot be used: {error}");
            let endpoint = Endpoint::from_shared(url.clone()).map_err(wrong)?;
            // No HTTP/2 pings: etcd closes connections that ping often. `call` replaces a silent connection.
            let mut endpoint = endpoint.connect_timeout(CONNECT).tcp_nodelay(true);
            if let Some(tls) = tls.as_ref().filter(|_| url.starts_with("https:")) {
                endpoint = endpoint.tls_config(tls.clone()).map_err(wrong)?;
            }
            let channel = ArcSwap::from_pointee(endpoint.connect_lazy());
            Ok(Member { endpoint, channel })
        };
        let members = urls.iter().map(member).collect::<Result<Vec<_>, String>>()?;
        if members.is_empty() {
            return Err("no member of etcd is named".to_owned());
        }
        Ok(Self { members, current: AtomicUsize::new(0) })
    }

    /// Sends the request until a member answers, for `longest` at most. The request may be carried out several times.
    async fn call<Q, A>(&self, path: &'static str, request: Q, longest: Duration) -> Result<A, ClientError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut last = "no answer in time".to_owned();
        let mut is_unknown = false;
        let attempts = async {
            for attempt in 1.. {
                let index = self.current.load(Ordering::Relaxed) % self.members.len();
                let Some(member) = self.members.get(index) else { break };
                let channel = Channel::clone(&member.channel.load());
                let error = match timeout(ATTEMPT, unary(channel, path, request.clone())).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(status)) if is_refusal(&status) => {
                        let why = with_remedy(status.message());
                        // An earlier attempt may have been carried out: this refusal says nothing about that.
                        return Err(if is_unknown {
                            ClientError::Unknown(why)
                        } else {
                            ClientError::Refused(why)
                        });
                    }
                    Ok(Err(status)) => with_causes(&status),
                    Err(_) => {
                        // The connection may lead to a machine that is gone.
                        member.channel.store(Arc::new(member.endpoint.connect_lazy()));
                        "no answer in time".to_owned()
                    }
                };
                last = format!("{}: {error}", member.endpoint.uri());
                is_unknown = true;
                let next = (index + 1) % self.members.len();
                // Of calls that fail together only one moves on: the others would skip members that were not asked.
                let _ = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
                if attempt % self.members.len() == 0 {
                    sleep(PAUSE).await;
                }
            }
            Err(ClientError::Unknown("no members".to_owned()))
        };
        let answered = timeout(longest, attempts).await;
        answered.unwrap_or(Err(ClientError::Unknown(last)))
    }

    /// Carries out a transaction, possibly several times: its comparisons must hold only once.
    pub async fn txn(&self, txn: TxnRequest) -> Result<TxnResponse, ClientError> {
        self.txn_within(txn, DEADLINE).await
    }

    /// The same for this long at most.
    pub async fn txn_within(&self, txn: TxnRequest, longest: Duration) -> Result<TxnResponse, ClientError> {
        self.call(TXN, txn, longest).await
    }

    /// A key and its value; `None` if it does not exist.
    pub async fn read(&self, key: Vec<u8>) -> Result<Option<KeyValue>, ClientError> {
        let request = RangeRequest { key, ..RangeRequest::default() };
        let RangeResponse { mut kvs, .. } = self.call(RANGE, request, DEADLINE).await?;
        Ok(kvs.pop())
    }

    /// The first keys from `key` to `end`, and the key at which the next page begins, if there is one.
    pub async fn page(
        &self,
        key: Vec<u8>,
        end: Vec<u8>,
    ) -> Result<(Vec<KeyValue>, Option<Vec<u8>>), ClientError> {
        let request = RangeRequest { key, range_end: end, limit: PAGE };
        let RangeResponse { kvs, more, .. } = self.call(RANGE, request, DEADLINE).await?;
        let last = kvs.last().filter(|_| more);
        // A zero byte behind a key makes the next possible key.
        let next = last.map(|last| [&last.key[..], &[0]].concat());
        Ok((kvs, next))
    }

    /// A new lease.
    pub async fn grant(&self, ttl: Duration) -> Result<i64, ClientError> {
        let ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let granted: LeaseResponse = self.call(GRANT, LeaseGrantRequest { ttl }, DEADLINE).await?;
        Ok(granted.id)
    }

    /// Ends a lease and deletes its keys.
    pub async fn revoke(&self, id: i64) -> Result<(), ClientError> {
        let _: Empty = self.call(REVOKE, LeaseRequest { id }, DEADLINE).await?;
        Ok(())
    }

    /// Prolongs a lease. `false` if it has ended.
    pub async fn keep_alive(&self, id: i64) -> Result<bool, ClientError> {
        let answer: LeaseResponse = self.call(KEEP_ALIVE, LeaseRequest { id }, DEADLINE).await?;
        Ok(answer.ttl > 0)
    }

    /// Calls `changed` when the watch begins and after every change of the key, until the connection ends.
    ///
    /// # Errors
    /// The reason of the end.
    pub async fn watch(&self, key: Vec<u8>, changed: impl Fn()) -> Result<(), ClientError> {
        let index = self.current.load(Ordering::Relaxed) % self.members.len();
        let member =
            self.members.get(index).ok_or_else(|| ClientError::Refused("no such member".to_owned()))?;
        let channel = Channel::clone(&member.channel.load());
        let create = Some(WatchCreateRequest { key });
        // etcd ends the watch with the client's half of the stream.
        let requests = stream::once(async { WatchRequest { create } }).chain(stream::pending());
        let lost = |status: Status| ClientError::Unknown(status.message().to_owned());
        let mut answers = timeout(ATTEMPT, open_watch(channel, requests)).await;
        let answers = answers.as_mut().map_err(|_| ClientError::Unknown("no answer in time".to_owned()))?;
        let answers = answers.as_mut().map_err(|status| lost(status.clone()))?;
        while let Some(WatchResponse { canceled }) = answers.message().await.map_err(lost)? {
            if canceled {
                return Err(ClientError::Refused("etcd has canceled the watch".to_owned()));
            }
            changed();
        }
        Err(ClientError::Unknown("etcd has closed the watch".to_owned()))
    }
}

/// One request and its answer. A keep-alive is a stream of one request: the same on the wire.
async fn unary<Q, A>(channel: Channel, path: &'static str, request: Q) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    // A page of records may be longer than the 4 MiB that tonic takes by default.
    let mut grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX);
    grpc.ready().await.map_err(|error| {
        let mut status = Status::unavailable(error.to_string());
        status.set_source(Arc::new(error));
        status
    })?;
    let codec = ProstCodec::<Q, A>::default();
    let path = path.parse().map_err(|_| Status::internal("no path"))?;
    Ok(grpc.unary(GrpcRequest::new(request), path, codec).await?.into_inner())
}

async fn open_watch<S>(channel: Channel, requests: S) -> Result<Streaming<WatchResponse>, Status>
where
    S: futures_util::Stream<Item = WatchRequest> + Send + 'static,
{
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
    let path = WATCH.parse().map_err(|_| Status::internal("no path"))?;
    Ok(grpc.streaming(requests.into_streaming_request(), path, codec).await?.into_inner())
}

/// The message of an error and of each error that caused it: that of a refused connection or a certificate is the last.
fn with_causes(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Tonic puts its own words between the causes.
        if next != "transport error" && !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// What heals an etcd whose quota is used up: it does not heal by itself.
const FULL_REMEDY: &str = "run \"etcdctl defrag\" for each member, then once \"etcdctl alarm disarm\"";

/// A refusal, with the remedy of the one that no repetition heals.
fn with_remedy(refusal: &str) -> String {
    if refusal.contains("database space exceeded") {
        format!("{refusal}: its database is full (alarm NOSPACE); {FULL_REMEDY}")
    } else {
        refusal.to_owned()
    }
}

/// Whether the request was certainly not carried out, and another member would say the same. An error with a source is
/// one of the connection: etcd may have carried the request out.
fn is_refusal(status: &Status) -> bool {
    let is_refused = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated
    );
    is_refused && status.source().is_none()
}

/// Holds if the key exists in this version; 0 if it does not exist.
pub fn version_is(key: Vec<u8>, version: i64) -> Compare {
    Compare { key, version: Some(version) }
}

pub fn put(key: Vec<u8>, value: Vec<u8>, lease: i64) -> RequestOp {
    RequestOp { request: Some(Request::Put(PutRequest { key, value, lease })) }
}

/// Deletes the key, or with a `range_end` all keys up to it.
pub fn delete(key: Vec<u8>, range_end: Vec<u8>) -> RequestOp {
    RequestOp { request: Some(Request::Delete(DeleteRequest { key, range_end })) }
}

pub fn get(key: Vec<u8>) -> RequestOp {
    RequestOp { request: Some(Request::Range(RangeRequest { key, ..RangeRequest::default() })) }
}

pub fn nested(txn: TxnRequest) -> RequestOp {
    RequestOp { request: Some(Request::Txn(txn)) }
}

/// The results of a transaction's reads, in their order.
pub fn found(response: TxnResponse) -> impl Iterator<Item = Vec<KeyValue>> {
    response.responses.into_iter().filter_map(|response| match response.response? {
        Response::Range(RangeResponse { kvs, .. }) => Some(kvs),
        Response::Put(_) | Response::Delete(_) | Response::Txn(_) => None,
    })
}
