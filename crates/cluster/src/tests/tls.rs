//! TLS to etcd, with a certificate of the node.

use std::path::Path;

use onceward_store::Store as _;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::etcd_process::{Etcd, loopback};
use super::node::{START, commit, options, put};
use crate::{Cluster, EtcdTls};

/// A certificate and its key, in PEM.
type Identity = (String, String);

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a file");
    path.to_str().expect("a path in UTF-8").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_used_over_tls_by_a_node_with_a_certificate_only() {
    // etcd, the node and their authority have one certificate.
    let [known, stranger] = [(); 2].map(|()| {
        let names = vec![loopback().to_string()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate");
        (cert.pem(), signing_key.serialize_pem())
    });
    let files = tempfile::tempdir().expect("a directory");
    let certificate = write(files.path(), "cert.pem", &known.0);
    let arguments = vec![
        format!("--cert-file={certificate}"),
        format!("--key-file={}", write(files.path(), "key.pem", &known.1)),
        format!("--trusted-ca-file={certificate}"),
        "--client-cert-auth".to_owned(),
    ];
    let etcd = Etcd::launch_with(1, "https", arguments);
    let tls = |ca: &Identity, own: Option<&Identity>| EtcdTls {
        ca: ca.0.clone().into_bytes(),
        identity: own.cloned().map(|(certificate, key)| (certificate.into_bytes(), key.into_bytes())),
    };
    let join = async |tls| {
        let mut options = options(&etcd, "a", 1, START);
        options.tls = Some(tls);
        Cluster::join(options).await
    };
    let mut joined = join(tls(&known, Some(&known))).await;
    while joined.is_err() {
        // etcd starts.
        joined = join(tls(&known, Some(&known))).await;
    }
    let store = joined.expect("joined").campaign().await;
    commit(&store, vec![put(0, 1, "x")]).await.expect("committed");
    assert!(store.owns_records());
    let not_trusted = join(tls(&stranger, Some(&known))).await.err().expect("refused").to_string();
    assert!(not_trusted.contains("invalid peer certificate"), "{not_trusted}");
    for refused in [tls(&known, None), tls(&known, Some(&stranger))] {
        assert!(join(refused).await.is_err());
    }
}
