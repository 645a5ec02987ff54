//! The owner answers as one machine does, and so does the next one: events and commands.

use super::Cluster;
use crate::support::prelude::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_delivered_once_by_the_owner_and_by_the_next_one() {
    let cluster = Cluster::with(1, 2, &[("webhook-private-addresses", "true")]).await;
    let [a, b] = cluster.start_all().await;
    let service = V2::of(&a.client).service(&[]).await;
    let receiver = Receiver::start().await;
    let hook = V2::of(&a.client).webhook(&service, "*", &receiver.url()).await;
    let secret = text(&hook, "secret");
    let lives = async |node: &Server| {
        // An owner that gets no processor in time answers 503: then nothing has happened.
        let begin = async || {
            let number = cluster.numbers.next();
            (V2::of(&node.client).begins(&service, &number).await, number)
        };
        let (sent, number) = until("a message", begin, |(sent, _)| sent.status() != 503).await;
        sent.expects_status(201);
        let code = cluster.twilio.code_for(&number);
        let check = async || V2::of(&node.client).checks_number(&service, &number, &code).await;
        until("an answer", check, |checked| checked.status() != 503).await.expects_status(200);
        for kind in ["verification.created", "verification.sent", "verification.approved"] {
            let event = receiver.next(secret).await;
            assert_eq!((&event["type"], &event["data"]["to"]), (&kind.into(), &number.as_str().into()));
        }
    };
    lives(&a).await;
    a.stop().await;
    b.owns_the_records().await;
    // An event that the next owner repeats would come first.
    lives(&b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_on_a_standby_name_the_node_to_run_them_on() {
    let cluster = Cluster::new(1).await;
    let [a, _b] = cluster.start_all().await;
    let standby: &Setup = &cluster.setups[1];
    let owner = "node a owns the records of the cluster";
    let about_a_number = ["status", "unlock", "erase"].map(|command| vec![command, "+14155552671"]);
    for command in [vec!["keys", "list"], vec!["tracker"], vec!["audit"]].into_iter().chain(about_a_number) {
        let arguments = [command, vec!["--data-dir", "data"]].concat();
        let refused = || standby.command(arguments.clone());
        // On a busy machine the owner may have to begin another term.
        until("the owner", refused, |finished| finished.output.contains(owner)).await.exits(70);
    }
    for command in [["export", "--out", "-"].as_slice(), &["check-data"]] {
        for setup in &cluster.setups {
            let arguments = command.iter().chain(&["--data-dir", "data"]).copied();
            setup.command(arguments).await.exits(70).says(["etcdctl snapshot save"]);
        }
    }
    let number = cluster.numbers.next();
    a.client.send(&number).await;
    cluster.setups[0].command(["erase", &number]).await.says(["next compaction"]);
    let doctor = standby.command(["doctor"]).await;
    doctor.says(["runs on the data directory"]);
    assert!(!doctor.output.contains("disk space"), "{}", doctor.output);
}
