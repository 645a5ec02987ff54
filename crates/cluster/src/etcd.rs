//! A client of etcd, with the calls that the store and the ownership need.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use onceward_store::Slot;
use parking_lot::Mutex;
use prost::Message;
use tokio::time::{sleep, timeout};
use tonic::client::Grpc;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::Error;
use crate::store::record_range;

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

/// etcd's words for a lease that has ended.
pub const LEASE_NOT_FOUND: &str = "lease not found";

/// TLS towards etcd, from texts in PEM: the authorities that signed the members' certificates, and the client's certificate
/// and its key.
pub fn tls_config(ca: &[u8], identity: Option<(Vec<u8>, Vec<u8>)>) -> ClientTlsConfig {
    let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    match identity {
        Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
        None => config,
    }
}

/// A client of one etcd cluster. It asks one member until that fails, then the next. Belongs to the runtime in which
/// it was made.
pub struct Client {
    members: Vec<Member>,
    current: AtomicUsize,
}

struct Member {
    endpoint: Endpoint,
    channel: Mutex<Channel>,
}

impl Client {
    /// A client of the members at these URLs. Connects when it is used.
    ///
    /// # Errors
    /// [`Error::Settings`] about the URL or the TLS file that cannot be used.
    pub fn new(urls: &[String], tls: Option<&ClientTlsConfig>) -> Result<Self, Error> {
        let member = |url: &String| {
            let wrong =
                |error: tonic::transport::Error| Error::Settings(format!("{url} cannot be used: {error}"));
            let endpoint = Endpoint::from_shared(url.clone()).map_err(wrong)?;
            // No HTTP/2 pings: etcd closes connections that ping often. `call` replaces a silent connection.
            let mut endpoint = endpoint.connect_timeout(CONNECT).tcp_nodelay(true);
            if let Some(tls) = tls.filter(|_| url.starts_with("https:")) {
                endpoint = endpoint.tls_config(tls.clone()).map_err(wrong)?;
            }
            let channel = Mutex::new(endpoint.connect_lazy());
            Ok(Member { endpoint, channel })
        };
        let members = urls.iter().map(member).collect::<Result<Vec<_>, Error>>()?;
        if members.is_empty() {
            return Err(Error::Settings("no member of etcd is named".to_owned()));
        }
        Ok(Self { members, current: AtomicUsize::new(0) })
    }

    /// Sends the request until a member answers, for `longest` at most. The request may be carried out several times.
    async fn call<Q, A>(&self, path: &'static str, request: Q, longest: Duration) -> Result<A, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        // Why a member that may have carried the request out did not say so.
        let mut unknown = None;
        let attempts = async {
            let mut asked = 0;
            loop {
                let index = self.current.load(Ordering::Relaxed) % self.members.len();
                let member = &self.members[index];
                let channel = member.channel.lock().clone();
                let error = match timeout(ATTEMPT, unary(channel, path, request.clone())).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(status)) if is_refusal(&status) => {
                        let why = with_remedy(status.message());
                        // An earlier attempt may have been carried out: this refusal says nothing about that.
                        let error = if unknown.is_some() { Error::Unknown } else { Error::Refused };
                        return Err(error(why));
                    }
                    Ok(Err(status)) => with_causes(&status),
                    Err(_) => {
                        // The connection may lead to a machine that is gone.
                        *member.channel.lock() = member.endpoint.connect_lazy();
                        "no answer in time".to_owned()
                    }
                };
                unknown = Some(format!("{}: {error}", member.endpoint.uri()));
                let next = (index + 1) % self.members.len();
                // Of calls that fail together only one moves on: the others would skip members that were not asked.
                let _ = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
                asked += 1;
                if asked % self.members.len() == 0 {
                    sleep(PAUSE).await;
                }
            }
        };
        let answered = timeout(longest, attempts).await;
        let unknown = || Error::Unknown(unknown.unwrap_or_else(|| "no answer in time".to_owned()));
        answered.unwrap_or_else(|_| Err(unknown()))
    }

    /// Carries out a transaction, possibly several times: its comparisons must hold only once.
    pub async fn txn(&self, txn: TxnRequest, longest: Duration) -> Result<TxnResponse, Error> {
        self.call(TXN, txn, longest).await
    }

    /// A key and its value; `None` if it does not exist.
    pub async fn read(&self, key: Vec<u8>) -> Result<Option<KeyValue>, Error> {
        let request = Keys { key, ..Keys::default() };
        let RangeResponse { mut kvs, .. } = self.call(RANGE, request, DEADLINE).await?;
        Ok(kvs.pop())
    }

    /// The records of a slot, read in pages. etcd counts all keys from the beginning of a page to the end of its range: with
    /// one range for all slots, the time would grow with the square of the records.
    pub async fn slot(&self, slot: Slot) -> Result<Vec<KeyValue>, Error> {
        let (mut key, range_end) = record_range(slot, slot);
        let mut records: Vec<KeyValue> = Vec::new();
        loop {
            let request = Keys { key, range_end: range_end.clone(), limit: PAGE };
            let RangeResponse { kvs, more, .. } = self.call(RANGE, request, DEADLINE).await?;
            records.extend(kvs);
            let Some(last) = records.last().filter(|_| more) else { return Ok(records) };
            // A zero byte behind a key makes the next possible key.
            key = [&last.key[..], &[0]].concat();
        }
    }

    /// A new lease.
    pub async fn grant(&self, ttl: Duration) -> Result<i64, Error> {
        let ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let granted: LeaseResponse = self.call(GRANT, ttl, DEADLINE).await?;
        Ok(granted.id)
    }

    /// Ends a lease and deletes its keys.
    pub async fn revoke(&self, id: i64) -> Result<(), Error> {
        self.call(REVOKE, id, DEADLINE).await
    }

    /// Prolongs a lease. `false` if it has ended.
    pub async fn keep_alive(&self, id: i64) -> Result<bool, Error> {
        let answer: LeaseResponse = self.call(KEEP_ALIVE, id, DEADLINE).await?;
        Ok(answer.ttl > 0)
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
    Ok(grpc.unary(Request::new(request), path, codec).await?.into_inner())
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

/// A refusal, with the remedy of the one that no repetition heals: an etcd whose quota is used up.
fn with_remedy(refusal: &str) -> String {
    if !refusal.contains("database space exceeded") {
        return refusal.to_owned();
    }
    let remedy = "run \"etcdctl defrag\" for each member, then once \"etcdctl alarm disarm\"";
    format!("{refusal}: its database is full (alarm NOSPACE); {remedy}")
}

/// Whether the request was certainly not carried out, and another member would say the same. An error with a source is
/// one of the connection: etcd may have carried the request out.
fn is_refusal(status: &Status) -> bool {
    use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, Internal, Unavailable, Unknown};
    let unsure = [Aborted, Cancelled, DataLoss, DeadlineExceeded, Internal, Unavailable, Unknown];
    !unsure.contains(&status.code()) && status.source().is_none()
}

/// Holds if the key exists in this version; 0 if it does not exist.
pub fn version_is(key: Vec<u8>, version: i64) -> Compare {
    Compare { key, version: Some(version) }
}

pub fn put(key: Vec<u8>, value: Vec<u8>, lease: i64) -> Operation {
    Operation { put: Some(Put { key, value, lease }), ..Operation::default() }
}

/// Deletes the key, or with a `range_end` all keys up to it.
pub fn delete(key: Vec<u8>, range_end: Vec<u8>) -> Operation {
    Operation { delete: Some(Keys { key, range_end, limit: 0 }), ..Operation::default() }
}

pub fn get(key: Vec<u8>) -> Operation {
    Operation { read: Some(Keys { key, ..Keys::default() }), ..Operation::default() }
}

/// What a transaction has read.
pub fn found(response: TxnResponse) -> impl Iterator<Item = KeyValue> {
    response.responses.into_iter().filter_map(|response| response.read).flat_map(|read| read.kvs)
}

// The messages of etcd's API version 3, with the fields that are used. Those of a `oneof` are optional fields, of which one
// is set: the same on the wire. A message with one number in its first field is prost's `i64`, and an empty one `()`.
// <https://github.com/etcd-io/etcd/blob/main/api/etcdserverpb/rpc.proto>

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: bytes::Bytes,
    #[prost(int64, tag = "4")]
    pub version: i64,
    #[prost(bytes = "bytes", tag = "5")]
    pub value: bytes::Bytes,
    #[prost(int64, tag = "6")]
    pub lease: i64,
}

/// Keys to read or to delete.
#[derive(Clone, PartialEq, Message)]
pub struct Keys {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// Empty: only `key`.
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    /// Only of keys to read.
    #[prost(int64, tag = "3")]
    pub limit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    pub kvs: Vec<KeyValue>,
    #[prost(bool, tag = "3")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Put {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    /// 0: the key stays until it is deleted.
    #[prost(int64, tag = "3")]
    pub lease: i64,
}

/// One of these.
#[derive(Clone, PartialEq, Message)]
pub struct Operation {
    #[prost(message, optional, tag = "1")]
    pub read: Option<Keys>,
    #[prost(message, optional, tag = "2")]
    pub put: Option<Put>,
    #[prost(message, optional, tag = "3")]
    pub delete: Option<Keys>,
    #[prost(message, optional, tag = "4")]
    pub txn: Option<TxnRequest>,
}

/// Of a read. Those of other operations are empty here.
#[derive(Clone, PartialEq, Message)]
pub struct OperationResponse {
    #[prost(message, optional, tag = "1")]
    pub read: Option<RangeResponse>,
}

/// Holds if the key has been written `version` times since it was created; 0 for a key that does not exist. The
/// defaults of the other fields, 0, say `EQUAL` and `VERSION`.
#[derive(Clone, PartialEq, Message)]
pub struct Compare {
    #[prost(bytes = "vec", tag = "3")]
    pub key: Vec<u8>,
    #[prost(int64, optional, tag = "4")]
    pub version: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    pub compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<Operation>,
    #[prost(message, repeated, tag = "3")]
    pub failure: Vec<Operation>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TxnResponse {
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<OperationResponse>,
}

/// Of a grant or a keep-alive.
#[derive(Clone, PartialEq, Message)]
pub struct LeaseResponse {
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// Seconds. 0 in the answer to a keep-alive: the lease has ended.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
}
