//! The files, the TLS and the stop of a node.

use std::os::unix::process::ExitStatusExt as _;

use hyper::Method;

use super::{Cluster, KEY, Node};
use crate::support::prelude::*;

#[tokio::test]
async fn nodes_pass_requests_on_by_tls_with_certificates_of_an_own_authority() {
    let authority = Authority::new();
    let certificate = authority.issue_for(&[&loopback().to_string(), "localhost"]);
    let mut cluster = Cluster::with(1, 2, |_, setup| certificate.configure(setup)).await;
    for node in 0..2 {
        cluster.set(node, "peer-ca", "ca.pem");
        cluster.setups[node] = cluster.setups[node].clone().file("ca.pem", &authority.pem);
    }
    let [_a, mut b]: [Node; 2] = cluster.start_all().await;
    b.0.client = b.0.client.over_tls(authority.client(&["http/1.1"]));
    let (number, code) = cluster.number_with_code(&b).await;
    b.verify(&number, &code).await.expects(verified(&number));
    let authorization = basic(OWN_ACCOUNT, OWN_TOKEN);
    let shown = b.request_with(Method::GET, "/metrics", &[("authorization", &authorization)], "").await;
    shown.says(["onceward_requests_forwarded_total{outcome=\"answered\"}"]);
}

#[tokio::test]
async fn a_node_that_has_just_lost_its_lease_stops_at_sigterm() {
    let mut cluster = Cluster::new(1).await;
    let [a, _b] = cluster.start_all().await;
    cluster.etcd.kill(0);
    let is_loss =
        |event: &Value| event["message"].as_str().is_some_and(|text| text.starts_with("lease in etcd lost"));
    a.0.output().event(is_loss).await.expect("the loss of the lease");
    // The signal can end it while it starts again.
    let status = a.0.stop().await.status;
    assert!(status.code() == Some(0) || status.signal() == Some(15), "{status}");
}

#[tokio::test]
async fn a_check_of_the_configuration_reads_the_files_for_etcd_and_the_nodes() {
    let authority = Authority::new();
    let (own, other) = (authority.issue(), authority.issue());
    let setup = Setup::new()
        .file("shared.key", KEY)
        .config("key-file", "shared.key")
        .file("ca.pem", &authority.pem)
        .file("own.pem", &own.pem)
        .file("own.key", &own.key)
        .file("other.key", &other.key)
        .file("garbage", "garbage");
    for (member, file, reason) in [
        ("etcd-ca", "ca.pem", None),
        ("etcd-ca", "garbage", Some("there is no certificate in it")),
        ("etcd-cert", "garbage", Some("there is no certificate in it")),
        ("etcd-key", "garbage", Some("there is no private key in it")),
        ("etcd-key", "other.key", Some("does not belong to the first certificate")),
        ("peer-ca", "missing.pem", Some("name a file that exists")),
        ("peer-ca", "own.key", Some("there is no certificate in it")),
    ] {
        let mut settings = json!({
            "etcd": ["https://127.0.0.1:1"], "node": "a", "advertise": "127.0.0.1:3000",
            "etcd-ca": "ca.pem", "etcd-cert": "own.pem", "etcd-key": "own.key",
        });
        settings[member] = json!(file);
        let checked = setup.clone().config("cluster", settings).args(["--check"]).run().await;
        match reason {
            None => drop(checked.exits(0)),
            Some(reason) => checked.exits(64).says([&format!("cluster.{member} "), reason]),
        }
    }
}
