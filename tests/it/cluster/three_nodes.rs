//! Every node answers as one machine does: requests for one number at all nodes, and what is not about one number.

use std::cell::RefCell;
use std::io;

use tokio::task::JoinSet;

use super::{Cluster, Node, owner};
use crate::support::prelude::*;

const CLIENTS: usize = 200;
/// Repetitions, to find a race that is rarely lost.
const ROUNDS: usize = 3;

/// Begins a verification with an idempotency key, always the same.
async fn begins_once(node: &Node, service: &str, number: &str) -> io::Result<HttpResponse> {
    let path = format!("{service}/Verifications");
    let form = [("To", number), ("Channel", "sms")];
    V2::of(node).try_post_with(&path, ("idempotency-key", "order-1"), &form).await
}

async fn with_account() -> Cluster {
    Cluster::with(3, 3, |_, setup| V2::account(setup.config("webhook-private-addresses", true))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_parallel_right_codes_at_three_nodes_one_is_approved() {
    let cluster = Cluster::of_three([("bounds.commands-per-number", json!(CLIENTS))]).await;
    let nodes: [Node; 3] = cluster.start_all().await;
    let mut undisturbed = 0;
    for round in 0..10 * ROUNDS {
        let (number, code) = cluster.number_with_code(&nodes[round % 3]).await;
        let answers = checks_at_once(&cluster, &number, &code).await;
        let count = |expected: &Expectation| answers.iter().filter(|answer| answer.is(expected)).count();
        // An owner that gets no processor in time cannot prolong its lease. The next round has another number.
        let unavailable = answers.iter().filter(|answer| answer.status() == 503).count();
        let (approved, too_late) = (count(&verified(&number)), count(&incorrect(&number, 5)));
        let once = usize::from(unavailable == 0)..=1;
        assert!(once.contains(&approved), "{approved} were approved, {unavailable} were answered 503");
        assert_eq!(approved + too_late + unavailable, CLIENTS, "all others were too late");
        if unavailable == 0 {
            for node in &nodes {
                let answer = node.verify(&number, &code).await;
                assert!(answer.status() == 503 || answer.is(&incorrect(&number, 5)), "{answer:?}");
            }
            undisturbed += 1;
        }
        if undisturbed == ROUNDS {
            return;
        }
    }
    panic!("the owner answered 503 in most of the rounds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_holds_at_all_nodes_and_after_the_owner_was_killed() {
    let cluster = with_account().await;
    let [a, b, c] = cluster.start_all().await;
    let service = V2::of(&a).service(&[]).await;
    let number = cluster.numbers.next();
    let begins = async |node: &Node| sid(&begins_once(node, &service, &number).await.expect("an answer"));
    let first = begins(&a).await;
    assert_eq!([begins(&b).await, begins(&c).await], [first.clone(), first.clone()]);
    a.0.kill();
    let next = owner(&cluster.clients()).await;
    assert_ne!(next, 0);
    assert_eq!([begins(&b).await, begins(&c).await], [first.clone(), first]);
    assert_eq!(cluster.twilio.messages_for(&number).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_by_all_nodes() {
    let cluster = with_account().await;
    let nodes: [Node; 3] = cluster.start_all().await;
    let key = cluster.setups[0].new_key(&["--scope", "admin"]).await;
    let statuses = async || {
        let mut statuses = Vec::new();
        for node in &nodes {
            statuses.push(V2::with_key_of(node, &key).get("/Services").await.status());
        }
        statuses
    };
    assert_eq!(statuses().await, [200; 3]);
    cluster.setups[0].command(["keys", "revoke", text(&key, "sid")]).await.exits(0);
    until("the refusal", statuses, |all| *all == [401; 3]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_requests_at_any_node_are_delivered_once() {
    let cluster = with_account().await;
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
    let cluster = with_account().await;
    let nodes: [Node; 2] = cluster.start_all().await;
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
        for setup in &cluster.setups[..2] {
            let arguments = command.iter().chain(&["--data-dir", "data"]).copied();
            setup.command(arguments).await.exits(70).says(["etcdctl snapshot save"]);
        }
    }
    let number = cluster.numbers.next();
    nodes[1].send(&number).await;
    cluster.setups[0].command(["erase", &number]).await.says(["next compaction"]);
    let doctor = standby.command(["doctor"]).await;
    doctor.says(["runs on the data directory, version"]);
    assert!(!doctor.output.contains("disk space"), "{}", doctor.output);
}

/// Checks one code 200 times at once, each time on its own connection, opened before the first request.
async fn checks_at_once(cluster: &Cluster, number: &str, code: &str) -> Vec<HttpResponse> {
    let clients = cluster.clients();
    for client in &clients {
        client.connect_to_have(CLIENTS.div_ceil(3)).await;
    }
    let mut checks = JoinSet::new();
    for client in clients.iter().cycle().take(CLIENTS) {
        let (client, number, code) = (client.clone(), number.to_owned(), code.to_owned());
        checks.spawn(async move { client.verify(&number, &code).await });
    }
    checks.join_all().await
}
