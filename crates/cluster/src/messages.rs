//! The messages of etcd's API version 3, with the fields that are used. Those of a `oneof` are optional fields, of which one
//! is set: the same on the wire. A message with one number in its first field is prost's `i64`, and an empty one `()`.
//! <https://github.com/etcd-io/etcd/blob/main/api/etcdserverpb/rpc.proto>

use prost::Message;

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
