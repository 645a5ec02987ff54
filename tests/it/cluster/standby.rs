//! Metrics and log of a standby, and TLS between nodes.

use hyper::Method;
use serde_json::{Value, json};

use super::{Cluster, KEY, NAMES, Node, is_ready_owner, owner};
use crate::service_manager::Manager;
use crate::support::documented::verified;
use crate::support::{
    Authority, Client, HttpResponse, OWN_ACCOUNT, OWN_TOKEN, Says, Setup, V2, basic, until,
};

/// Starts two nodes; the first owns the records.
async fn start_both_over_tls(cluster: &Cluster, authority: &Authority) -> Vec<Node> {
    let mut nodes = Vec::new();
    for node in 0..2 {
        let mut node = cluster.start(node).await;
        node.0.client = node.0.client.over_tls(authority.client(&["http/1.1"]));
        if nodes.is_empty() {
            node.owns_the_records().await;
        }
        nodes.push(node);
    }
    nodes
}

async fn metrics(node: &Node, token: &str) -> HttpResponse {
    let authorization = basic(OWN_ACCOUNT, token);
    node.request_with(Method::GET, "/metrics", &[("authorization", &authorization)], "").await
}

#[tokio::test]
async fn each_node_shows_its_own_metrics_to_callers_that_the_owner_knows() {
    let cluster = Cluster::with(1, 2, |_, setup| V2::account(setup)).await;
    let [a, b] = cluster.start_both().await;
    let read = async || metrics(&b, OWN_TOKEN).await.text();
    let has = |line: &'static str| move |text: &String| text.lines().any(|sample| sample == line);
    until("a standby", &read, has("onceward_cluster_node{state=\"standby\"} 1")).await;
    b.send(&cluster.numbers.next()).await;
    until("a forwarded request", &read, has("onceward_requests_forwarded_total{outcome=\"answered\"} 1"))
        .await;
    let text = read().await;
    assert!(text.contains("process_resident_memory_bytes ") && !text.contains("onceward_ready"), "{text}");
    assert_eq!(metrics(&b, "wrong").await.status(), 401);
    assert_eq!(b.get("/metrics").await.status(), 401);
    let of_owner = metrics(&a, OWN_TOKEN).await.text();
    assert!(has("onceward_cluster_node{state=\"owner\"} 1")(&of_owner), "{of_owner}");
    assert!(has("onceward_ready 1")(&of_owner), "{of_owner}");
}

#[tokio::test]
async fn the_log_names_each_owner() {
    let cluster = Cluster::of_three([("log-level", json!("info"))]).await;
    let [a, b, c] = cluster.start_all().await;
    let names_a = || async { b.0.output().text() };
    let line = |message: &'static str, name: &'static str| {
        move |log: &String| log.lines().any(|line| line.contains(message) && line.contains(name))
    };
    let names_an_owner = "owner changed";
    until("the first owner", names_a, line(names_an_owner, "\"owner\":\"a\"")).await;
    a.0.kill();
    let next = owner(&cluster.clients()).await;
    let (winner, other) = if next == 1 { (&b, &c) } else { (&c, &b) };
    let log = winner.0.output().text();
    assert!(line("ownership acquired", NAMES[next])(&log), "{log}");
    let log = || async { other.0.output().text() };
    let name = if next == 1 { "\"owner\":\"b\"" } else { "\"owner\":\"c\"" };
    until("the next owner", log, line(names_an_owner, name)).await;
}

#[tokio::test]
async fn readyz_of_each_node_says_that_etcd_does_not_answer() {
    let mut cluster = Cluster::new(3).await;
    let [a, b] = cluster.start_both().await;
    cluster.etcd.kill(0);
    cluster.etcd.kill(1);
    let says = |reason: &'static str| move |answer: &HttpResponse| answer.text().contains(reason);
    let of_owner =
        until("the owner", || a.get("/readyz"), says("etcd does not prolong this node's lease")).await;
    let of_standby =
        until("the standby", || b.get("/readyz"), says("this node stands by; etcd does not answer")).await;
    assert_eq!((of_owner.status(), of_standby.status()), (503, 503));
    cluster.etcd.start_member(0);
    until("an owner again", || b.get("/readyz"), |answer| answer.status() == 200).await;
}

#[tokio::test]
async fn nodes_that_cannot_own_the_records_name_the_alarm_of_etcd() {
    let cluster = Cluster::new(1).await;
    let [a, b] = cluster.start_both().await;
    let etcd = Client::new(cluster.etcd.urls()[0].trim_start_matches("http://").parse().expect("an address"));
    let alarm = async |action: &str| {
        let body = json!({ "action": action, "memberID": 1, "alarm": "NOSPACE" }).to_string();
        let answer = etcd.try_post("/v3/maintenance/alarm", body).await.expect("an answer of etcd");
        assert_eq!(answer.status(), 200, "{}", answer.text());
    };
    let names_it =
        |answer: &HttpResponse| answer.status() == 503 && answer.text().contains("(alarm NOSPACE)");
    alarm("ACTIVATE").await;
    a.0.kill();
    a.0.ended().await;
    until("the reason of the standby", || b.get("/readyz"), names_it).await;
    b.0.kill();
    b.0.ended().await;
    let a = cluster.start(0).await;
    until("the reason of a node that starts", || a.get("/readyz"), names_it).await;
    let log = a.0.output().text();
    assert!(log.contains("(alarm NOSPACE)") && !log.contains("majority"), "{log}");
    let doctor = || cluster.setups[0].command(["doctor"]);
    let says = "fail  owner: no node owns the records, and none can while etcd is full";
    until("the finding", doctor, |finished| finished.output.contains(says)).await;
    alarm("DEACTIVATE").await;
    a.owns_the_records().await;
}

#[tokio::test]
async fn the_status_of_a_standby_names_the_owner() {
    let mut cluster = Cluster::new(1).await;
    let (manager, setup) = Manager::of(cluster.setups[1].clone());
    cluster.setups[1] = setup;
    let _nodes = cluster.start_both().await;
    let status = format!(
        "STATUS=this node stands by; node a at {} owns the records of the cluster",
        cluster.address(0)
    );
    manager.until(&status).await;
}

#[tokio::test]
async fn a_standby_is_not_ready_while_the_owner_is_silent() {
    let cluster = Cluster::new(1).await;
    let [a, b] = cluster.start_both().await;
    until("readiness", || b.get("/readyz"), |answer| answer.status() == 200).await;
    a.stops().await;
    // Before its lease ends.
    b.get("/readyz").await.expects_status(503).says(["it does not answer within a second"]);
    until("the next owner", || b.get("/readyz"), is_ready_owner).await;
}

#[tokio::test]
async fn a_standby_that_does_not_trust_the_owner_is_not_ready() {
    let authority = Authority::new();
    let certificate = authority.issue_for(&["127.0.0.2", "localhost"]);
    let cluster = Cluster::with(1, 2, |_, setup| certificate.configure(setup)).await;
    let nodes = start_both_over_tls(&cluster, &authority).await;
    let says_why = |answer: &HttpResponse| answer.text().contains("this node cannot reach node ");
    let refused = until("the reason", || nodes[1].get("/readyz"), says_why).await.expects_status(503);
    let status = &refused.json()["data"]["cluster"];
    assert_eq!(*status, json!({"node": "b", "state": "standby", "owner": "a"}));
}

#[tokio::test]
async fn doctor_names_a_member_and_a_node_that_cannot_be_reached() {
    let mut cluster = Cluster::new(3).await;
    let elsewhere = json!({ "etcd": cluster.etcd.urls(), "node": "b", "advertise": "127.0.0.9:1" });
    cluster.setups[1] = cluster.setups[1].clone().config("cluster", elsewhere);
    let [a, _b] = cluster.start_both().await;
    cluster.etcd.kill(0);
    let dead = format!("warn  etcd {}: etcd does not answer: ", cluster.etcd.urls()[0]);
    let owner = format!("ok    owner: node a at {}\n", cluster.address(0));
    let doctor = || cluster.setups[0].command(["doctor"]);
    let all = [dead.as_str(), &owner, "fail  node b at 127.0.0.9:1: ", "refused"];
    let says_all = |output: &str| all.iter().all(|line| output.contains(line));
    // The member may have led.
    until("the findings", doctor, |finished| says_all(&finished.output)).await.exits(70);
    cluster.etcd.kill(1);
    let finished = doctor().await;
    assert!(finished.output.contains("fail  owner: etcd does not answer: "), "{}", finished.output);
    let finished = a.0.stop().await;
    // On a busy machine it has lost the lease by then.
    let ends =
        ["stopped without etcd; every answer", "stopped after the loss of", "stopped while standing by"];
    assert!(ends.iter().any(|end| finished.output.contains(end)), "{}", finished.output);
}

#[tokio::test]
async fn a_node_that_has_just_lost_its_lease_stops_at_sigterm() {
    let mut cluster = Cluster::new(1).await;
    let [a, _b] = cluster.start_both().await;
    cluster.etcd.kill(0);
    let is_loss =
        |event: &Value| event["message"].as_str().is_some_and(|text| text.starts_with("lease in etcd lost"));
    a.0.output().event(is_loss).await.expect("the loss of the lease");
    a.0.stop().await.exits(0);
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
        ("etcd-key", "other.key", Some("does not belong to the certificate")),
        ("peer-ca", "missing.pem", Some("name a file that exists")),
        ("peer-ca", "own.key", Some("there is a private key in it and no certificate")),
    ] {
        let mut settings = json!({
            "etcd": ["https://127.0.0.1:1"], "node": "a", "advertise": "127.0.0.1:3000",
            "etcd-ca": "ca.pem", "etcd-cert": "own.pem", "etcd-key": "own.key",
        });
        settings[member] = json!(file);
        let checked = setup.clone().config("cluster", settings).args(["--check"]).run().await;
        let Some(reason) = reason else {
            assert_eq!(checked.status.code(), Some(0), "{}", checked.output);
            continue;
        };
        assert_eq!(checked.status.code(), Some(64), "{}", checked.output);
        let names_both =
            checked.output.contains(&format!("cluster.{member} ")) && checked.output.contains(reason);
        assert!(names_both, "{member} {file}: {}", checked.output);
    }
}

#[tokio::test]
async fn nodes_whose_certificates_an_own_authority_signed_use_tls() {
    let authority = Authority::new();
    let certificate = authority.issue_for(&["127.0.0.2", "localhost"]);
    let mut cluster = Cluster::with(1, 2, |_, setup| certificate.configure(setup)).await;
    for (node, setup) in cluster.setups.iter_mut().enumerate() {
        let settings = json!({
            "etcd": cluster.etcd.urls(), "node": NAMES[node], "advertise": cluster.addresses[node], "peer-ca": "ca.pem",
        });
        *setup = setup.clone().file("ca.pem", &authority.pem).config("cluster", settings);
    }
    let nodes = start_both_over_tls(&cluster, &authority).await;
    let (number, code) = cluster.number_with_code(&nodes[1]).await;
    nodes[1].verify(&number, &code).await.expects(verified(&number));
}
