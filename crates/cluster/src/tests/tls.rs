//! TLS to etcd, with a certificate of the node.

use std::path::Path;

use onceward_store::Store as _;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use super::etcd_process::{Etcd, loopback};
use super::node::{START, commit, options, put};
use crate::{Cluster, EtcdTls};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = parameters.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(parameters, key) }
    }

    /// A certificate for loopback and its key.
    fn issue(&self) -> (String, String) {
        let mut parameters = CertificateParams::new(vec![loopback().to_string()]).expect("parameters");
        let uses = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        parameters.extended_key_usages = uses.to_vec();
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a file");
    path.to_str().expect("a path in UTF-8").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_used_over_tls_by_a_node_with_a_certificate_only() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files = tempfile::tempdir().expect("a directory");
    let (certificate, key) = authority.issue();
    let arguments = [
        ("--cert-file", write(files.path(), "cert.pem", &certificate)),
        ("--key-file", write(files.path(), "key.pem", &key)),
        ("--trusted-ca-file", write(files.path(), "ca.pem", &authority.pem)),
    ];
    let mut arguments: Vec<String> =
        arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
    arguments.push("--client-cert-auth".to_owned());
    let etcd = Etcd::launch_with(1, "https", arguments);
    let tls = |ca: &Authority, own: Option<&Authority>| EtcdTls {
        ca: ca.pem.clone().into_bytes(),
        identity: own.map(|own| {
            let (certificate, key) = own.issue();
            (certificate.into_bytes(), key.into_bytes())
        }),
    };
    let join = async |tls| {
        let mut options = options(&etcd, "a", 1, START);
        options.tls = Some(tls);
        Cluster::join(options).await
    };
    let mut joined = join(tls(&authority, Some(&authority))).await;
    while joined.is_err() {
        // etcd starts.
        joined = join(tls(&authority, Some(&authority))).await;
    }
    let store = joined.expect("joined").campaign().await.unwrap();
    commit(&store, vec![put(0, 1, "x")]).await.expect("committed");
    assert!(store.owns_records());
    let not_trusted = join(tls(&stranger, Some(&authority))).await.err().expect("refused").to_string();
    assert!(not_trusted.contains("invalid peer certificate"), "{not_trusted}");
    for refused in [tls(&authority, None), tls(&authority, Some(&stranger))] {
        assert!(join(refused).await.is_err());
    }
}
