//! The files and the end of a node.

use super::{Cluster, KEY};
use crate::support::prelude::*;

#[tokio::test]
async fn a_node_that_loses_its_lease_ends_for_its_service_manager() {
    let mut cluster = Cluster::new(1).await;
    let [a, b] = cluster.start_all().await;
    cluster.etcd.kill(0);
    a.0.ended().await.exits(75).says(["lease in etcd lost"]);
    b.shows("no etcd", |answer| answer.status() == 503 && answer.text().contains("etcd does not answer"))
        .await;
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
        ("etcd-ca", "missing.pem", Some("name a file that exists")),
    ] {
        let mut settings = json!({
            "etcd": ["https://127.0.0.1:1"], "node": "a", "etcd-ca": "ca.pem", "etcd-cert": "own.pem", "etcd-key": "own.key",
        });
        settings[member] = json!(file);
        let checked = setup.clone().config("cluster", settings).args(["--check"]).run().await;
        match reason {
            None => drop(checked.exits(0)),
            Some(reason) => checked.exits(64).says([&format!("cluster.{member} "), reason]),
        }
    }
}
