//! What an operator asks of etcd: the state of its members, the owner and the nodes. Changes nothing.

use crate::cluster::{addresses, import_key, owner_key, owner_of, server_key_key};
use crate::etcd::{Client, ClientError, EtcdTls, found, get, get_range};
use crate::messages::{StatusResponse, TxnRequest};

/// One member of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    pub version: String,
    pub db_bytes: u64,
    /// Whether it knows a leader: without one no majority answers.
    pub has_leader: bool,
    /// Alarms, such as that of a full quota.
    pub errors: Vec<String>,
}

/// The nodes that share an etcd.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterView {
    /// The name and the address of the node that owns the records.
    pub owner: Option<(String, String)>,
    /// The names and addresses of all nodes that run.
    pub nodes: Vec<(String, String)>,
    /// Whether an import runs or was interrupted.
    pub is_importing: bool,
    /// Identifies the server key with which the records were written; `None` without any.
    pub key_fingerprint: Option<Vec<u8>>,
}

/// Asks one member.
///
/// # Errors
/// [`ClientError`].
pub async fn member_status(url: &str, tls: Option<&EtcdTls>) -> Result<MemberStatus, ClientError> {
    let client = Client::new(&[url.to_owned()], tls).map_err(ClientError::Local)?;
    let StatusResponse { version, db_size, leader, errors } = client.status().await?;
    Ok(MemberStatus {
        version,
        db_bytes: u64::try_from(db_size).unwrap_or(0),
        has_leader: leader != 0,
        errors,
    })
}

/// Asks a majority of the members.
///
/// # Errors
/// [`ClientError`].
pub async fn view(urls: &[String], tls: Option<&EtcdTls>) -> Result<ClusterView, ClientError> {
    let client = Client::new(urls, tls).map_err(ClientError::Local)?;
    let (first, end) = addresses();
    let success =
        vec![get(owner_key()), get_range(first.clone(), end), get(import_key()), get(server_key_key())];
    let response = client.txn(TxnRequest { success, ..TxnRequest::default() }).await?;
    let mut view = ClusterView::default();
    for entry in found(response).flatten() {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if entry.key == owner_key() {
            view.owner = owner_of(&entry.value).map(|(node, address, _)| (node, address));
        } else if entry.key == import_key() {
            view.is_importing = true;
        } else if entry.key == server_key_key() {
            view.key_fingerprint = Some(entry.value.to_vec());
        } else if let Some(address) = entry.key.strip_prefix(&first[..]) {
            view.nodes.push((text(&entry.value), text(address)));
        }
    }
    Ok(view)
}
