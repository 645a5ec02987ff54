//! Every node answers as one machine does: idempotency keys, events, commands.

use std::cell::RefCell;

use super::{Cluster, Node, owner};
use crate::support::prelude::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_holds_at_all_nodes_and_after_the_owner_was_killed() {
    let cluster = Cluster::of_three([]).await;
    let mut nodes = Vec::from(cluster.start_all::<3>().await);
    let service = V2::of(&nodes[0]).service(&[]).await;
    let number = cluster.numbers.next();
    let (path, form) = (format!("{service}/Verifications"), [("To", number.as_str()), ("Channel", "sms")]);
    let key = ("idempotency-key", "order-1");
    let begins = async |node: &Node| sid(&V2::of(node).post_with(&path, key, &form).await);
    let first = begins(&nodes[0]).await;
    for node in &nodes[1..] {
        assert_eq!(begins(node).await, first);
    }
    nodes.remove(owner(&cluster.clients()).await).0.kill();
    // Until another node serves.
    owner(&cluster.clients()).await;
    for node in &nodes {
        assert_eq!(begins(node).await, first);
    }
    assert_eq!(cluster.twilio.messages_for(&number).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_requests_at_any_node_are_delivered_once() {
    let cluster = Cluster::of_three([("webhook-private-addresses", json!(true))]).await;
    let [a, b, c] = cluster.start_all().await;
    let v2 = V2::of(&b);
    let service = v2.service(&[]).await;
    let receiver = Receiver::start().await;
    let hook = v2.webhook(&service, "*", &receiver.url()).await;
    let secret = text(&hook, "secret");
    let life = ["verification.created", "verification.sent", "verification.approved"];
    // An owner that got no processor in time answered 503 to these.
    let unavailable = RefCell::new(Vec::new());
    let lives = async |begins: &Node, checks: &Node| {
        let begin = async || {
            let number = cluster.numbers.next();
            let begun = V2::of(begins).begins(&service, &number).await;
            if begun.status() != 201 {
                unavailable.borrow_mut().push(number.clone());
            }
            (begun, number)
        };
        let (_, number) = until("a message", begin, |(begun, _)| begun.status() == 201).await;
        let code = cluster.twilio.code_for(&number);
        // A check that was answered 503 may have been right.
        let check = async || V2::of(checks).checks_number(&service, &number, &code).await;
        until("an answer", check, |checked| [200, 404].contains(&checked.status())).await;
        for kind in life {
            let mut event = receiver.next(secret).await;
            while unavailable.borrow().iter().any(|it| event["data"]["to"] == **it) {
                event = receiver.next(secret).await;
            }
            assert_eq!((&event["type"], &event["data"]["to"]), (&kind.into(), &number.as_str().into()));
        }
    };
    for (begins, checks) in [(&a, &b), (&b, &c), (&c, &a)] {
        lives(begins, checks).await;
    }
    a.0.stop().await;
    // An event that the next owner repeats would come first.
    lives(&b, &c).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_on_a_standby_name_the_node_to_run_them_on() {
    let cluster = Cluster::new(1).await;
    let [_a, b] = cluster.start_all().await;
    let standby: &Setup = &cluster.setups[1];
    let owner = format!("node a at {}", cluster.addresses[0]);
    let about_a_number = ["status", "unlock", "erase"].map(|command| vec![command, "+14155552671"]);
    for command in [vec!["keys", "list"], vec!["tracker"], vec!["audit"]].into_iter().chain(about_a_number) {
        let arguments = [command, vec!["--data-dir", "data"]].concat();
        let refused = || standby.command(arguments.clone());
        // On a busy machine the owner may have to begin another term.
        until("the owner", refused, |finished| finished.output.contains(&owner)).await.exits(70);
    }
    for command in [["export", "--out", "-"].as_slice(), &["check-data"]] {
        for setup in &cluster.setups {
            let arguments = command.iter().chain(&["--data-dir", "data"]).copied();
            setup.command(arguments).await.exits(70).says(["etcdctl snapshot save"]);
        }
    }
    let number = cluster.numbers.next();
    b.send(&number).await;
    cluster.setups[0].command(["erase", &number]).await.says(["next compaction"]);
    let doctor = standby.command(["doctor"]).await;
    doctor.says(["runs on the data directory, version"]);
    assert!(!doctor.output.contains("disk space"), "{}", doctor.output);
}
