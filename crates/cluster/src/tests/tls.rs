//! TLS to etcd, with a certificate of the node.

use std::time::Duration;

use onceward_store::Store as _;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::etcd_process::{Etcd, loopback};
use super::node::{START, commit, options, put};
use crate::{Cluster, tls_config};

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_used_over_tls_by_a_node_with_a_certificate_only() {
    // etcd, the node and their authority have one certificate.
    let [known, stranger] = [(); 2].map(|()| {
        let names = vec![loopback().to_string()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate");
        (cert.pem().into_bytes(), signing_key.serialize_pem().into_bytes())
    });
    let files = tempfile::tempdir().expect("a directory");
    let [certificate, key] = [("cert.pem", &known.0), ("key.pem", &known.1)].map(|(name, text)| {
        std::fs::write(files.path().join(name), text).expect("a file");
        files.path().join(name).display().to_string()
    });
    let arguments = vec![
        format!("--cert-file={certificate}"),
        format!("--key-file={key}"),
        format!("--trusted-ca-file={certificate}"),
        "--client-cert-auth".to_owned(),
    ];
    let etcd = Etcd::launch_with(1, "https", arguments);
    let join = async |ca: &Vec<u8>, identity: Option<&(Vec<u8>, Vec<u8>)>| {
        let mut options = options(&etcd, "a", 1, START);
        options.tls = Some(tls_config(ca, identity.cloned()));
        Cluster::join(options).await
    };
    let mut joined = join(&known.0, Some(&known)).await;
    for _ in 0..600 {
        if joined.is_ok() {
            break;
        }
        // etcd starts.
        tokio::time::sleep(Duration::from_millis(100)).await;
        joined = join(&known.0, Some(&known)).await;
    }
    let store = joined.expect("joined").campaign().await;
    commit(&store, vec![put(0, 1, "x")]).await.expect("committed");
    assert!(store.owns_records());
    let not_trusted = join(&stranger.0, Some(&known)).await.err().expect("refused").to_string();
    assert!(not_trusted.contains("invalid peer certificate"), "{not_trusted}");
    for identity in [None, Some(&stranger)] {
        assert!(join(&known.0, identity).await.is_err());
    }
}
