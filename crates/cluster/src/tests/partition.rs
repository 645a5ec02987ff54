//! A node is cut off from etcd and comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onceward_store::{Slots, Store as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::etcd_process::Etcd;
use super::node::{START, commit, eventually, join, key, options, put, restore};
use crate::Cluster;

/// A way to etcd that holds all bytes back while it is cut, and delivers them later.
struct Link {
    address: SocketAddr,
    cut: Arc<watch::Sender<bool>>,
}

impl Link {
    async fn to(etcd: &Etcd) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, cut) =
            (listener.local_addr().expect("an address"), Arc::new(watch::Sender::new(false)));
        let etcd = etcd.urls()[0].trim_start_matches("http://").to_owned();
        let state = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&etcd).await.expect("etcd");
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(pass_on(from_client, to_server, state.subscribe()));
                tokio::spawn(pass_on(from_server, to_client, state.subscribe()));
            }
        });
        Self { address, cut }
    }
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<bool>) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if cut.wait_for(|cut| !cut).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_off_owner_wrote_arrives_too_late_and_changes_nothing() {
    let etcd = Etcd::start(1).await;
    let link = Link::to(&etcd).await;
    let mut of_a = options(&etcd, "a", 1, START);
    of_a.etcd = vec![format!("http://{}", link.address)];
    let a = Cluster::join(of_a).await.expect("joined").campaign().await;
    commit(&a, vec![put(0, 1, "before")]).await.unwrap();
    link.cut.send_replace(true);
    let late = timeout(Duration::from_secs(3), commit(&a, vec![put(0, 1, "late")])).await;
    assert!(late.expect("an answer in time").is_err());
    eventually(async || !a.is_current()).await;
    let b = join(&etcd, "b").await.campaign().await;
    commit(&b, vec![put(0, 2, "of b")]).await.unwrap();
    // The requests of `a` arrive now.
    link.cut.send_replace(false);
    timeout(Duration::from_secs(10), a.over()).await.expect("a learns it");
    assert!(commit(&a, vec![put(0, 2, "of a")]).await.is_err());
    let records = restore(&b, Slots::all()).await.unwrap();
    assert_eq!((&records[&key(0, 1)][..], &records[&key(0, 2)][..]), (&b"before"[..], &b"of b"[..]));
}
