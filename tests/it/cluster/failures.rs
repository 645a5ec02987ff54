//! Nodes and members of etcd fail under load: no answer is contradicted, and nothing is sent twice.

use rustix::process::Signal;
use tokio::time::{sleep, sleep_until};

use super::load::{Expect, Load, Seen, now};
use super::{Cluster, Node, owner};
use crate::support::prelude::*;

/// Time between two kills, and until the killed node starts again.
const KILL_EVERY: Duration = Duration::from_secs(5);
const DOWN: Duration = Duration::from_secs(3);

/// The test starts with another etcd after this many kills.
const KILLS_PER_CLUSTER: u64 = 12;

/// Two codes of ten digits are never equal by chance.
fn settings() -> [(&'static str, Value); 3] {
    [("otp-length", json!(10)), ("otp-timeout", json!("1h")), ("log-level", json!("info"))]
}

async fn three_nodes() -> (Cluster, [Node; 3]) {
    let cluster = Cluster::of_three(settings()).await;
    let nodes = cluster.start_all().await;
    (cluster, nodes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_request() {
    let mut cluster = Cluster::of_three(settings()).await;
    // Requests wait a minute for an owner, so that a slow machine fails none.
    (0..3).for_each(|node| cluster.set(node, "wait", "1m"));
    let (clients, mut nodes) = (cluster.clients(), cluster.start_all::<3>().await.map(Some));
    let mut load = Load::begin(&cluster, Expect::Answers, 1);
    load.answers(100).await;
    let mut logs = Vec::new();
    // The first node is the owner. Thus every way to stop occurs: an owner, a standby, a former owner.
    let mut hand_overs = 0;
    for (node, running) in nodes.iter_mut().enumerate() {
        let was_owner = owner(&clients).await == node;
        if was_owner {
            hand_overs += 1;
            load.owner_fails();
        }
        let stopped = running.take().expect("it runs").0.stop().await.exits(0);
        if was_owner {
            stopped.says(["every request is finished and in etcd"]);
        }
        logs.push(stopped.output);
        load.answers(50).await;
        *running = Some(cluster.start(node).await);
        load.answers(100).await;
    }
    let seen = load.end().await;
    logs.extend(nodes.iter().flatten().map(|node| node.0.output().text()));
    // Beside other work etcd or a node may get no processor in time.
    let troubles =
        ["commit to etcd failed", "lease not kept alive", "lease in etcd lost", "start as the owner failed"];
    let had_trouble = logs.iter().any(|log| troubles.iter().any(|words| log.contains(words)));
    assert!(hand_overs > 0 && (seen.unanswered == 0 || had_trouble), "{seen}");
}

/// What follows the kill of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// The service manager runs `onceward cluster release`.
    Release,
    /// The lease of the node runs out.
    Nothing,
}

/// Takes 30 s, and an hour with `CLUSTER_KILLS=720`; `CLUSTER_SEED` repeats the choices of a run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_killed_every_5_s_lose_and_double_nothing() {
    let kills: u64 = from_environment("CLUSTER_KILLS", 6);
    let seed: u64 = from_environment("CLUSTER_SEED", 20_261_122);
    println!("CLUSTER_SEED={seed} CLUSTER_KILLS={kills}");
    let (mut released, mut expired) = (Seen::default(), Seen::default());
    for first in (0..kills).step_by(usize::try_from(2 * KILLS_PER_CLUSTER).unwrap()) {
        let kills = KILLS_PER_CLUSTER.min((kills - first).div_ceil(2));
        released = released.and(killed_every_5_s(kills, seed ^ (first << 20), After::Release).await);
        expired = expired.and(killed_every_5_s(kills, seed ^ (first << 20), After::Nothing).await);
    }
    println!("with a release: {released}");
    println!("without: {expired}");
    assert!(released.answers.min(expired.answers) > 5 * kills, "{released}; {expired}");
    // A few gaps on a busy machine tell nothing.
    let is_long = kills >= 2 * KILLS_PER_CLUSTER;
    assert!(!is_long || released.median_gap() < expired.median_gap(), "{released}; {expired}");
}

async fn killed_every_5_s(kills: u64, seed: u64, after: After) -> Seen {
    let (cluster, nodes) = three_nodes().await;
    let clients = cluster.clients();
    let mut nodes = nodes.map(Some);
    let mut load = Load::begin(&cluster, Expect::Trouble, seed);
    load.answers(100).await;
    let begin = now();
    for kill in 0..kills {
        let due = begin + KILL_EVERY * u32::try_from(kill).unwrap();
        sleep_until(due).await;
        load.goes_on();
        let owner = owner(&clients).await;
        // Every third one is a standby.
        let victim = if kill % 3 == 2 { (owner + 1) % 3 } else { owner };
        if victim == owner {
            load.owner_fails();
        }
        let Some(node) = nodes[victim].take() else { panic!("node {victim} has ended") };
        node.0.kill();
        node.0.ended().await;
        if after == After::Release {
            cluster.setups[victim].command(["cluster", "release"]).await.exits(0);
        }
        sleep_until(due + DOWN).await;
        nodes[victim] = Some(cluster.start(victim).await);
    }
    owner(&clients).await;
    load.answers(100).await;
    load.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_members_of_etcd_delay_requests_and_lose_nothing() {
    let (mut cluster, _nodes) = three_nodes().await;
    let clients = cluster.clients();
    let mut load = Load::begin(&cluster, Expect::Trouble, 3);
    load.answers(100).await;
    for kills_leader in [false, true, true] {
        let leader = leader(&cluster.etcd).await;
        let member = if kills_leader { leader } else { (leader + 1) % 3 };
        load.owner_fails();
        cluster.etcd.kill(member);
        load.answers(200).await;
        cluster.etcd.start_member(member);
        load.answers(100).await;
    }
    owner(&clients).await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_cut_off_from_etcd_answers_503_and_another_takes_over() {
    let mut cluster = Cluster::of_three(settings()).await;
    let mut links = Vec::new();
    for url in cluster.etcd.urls() {
        links.push(Link::to(&url).await);
    }
    let through: Vec<_> = links.iter().map(|link| link.url.clone()).collect();
    cluster.set(0, "etcd", through);
    let [a, _b, _c] = cluster.start_all().await;
    let mut load = Load::begin(&cluster, Expect::Trouble, 4);
    load.answers(100).await;
    assert_eq!(owner(&cluster.clients()).await, 0, "the node that began first");
    load.avoid(0);
    load.owner_fails();
    links.iter().for_each(Link::cut);
    owner(&cluster.clients()[1..]).await;
    load.answers(100).await;
    let silent = cluster.numbers.next();
    until("503", async || a.try_send(&silent).await.is_ok_and(|it| it.status() == 503), |is_it| *is_it).await;
    let stands_by = "this node stands by; etcd does not answer";
    a.shows(stands_by, |answer| answer.status() == 503 && answer.text().contains(stands_by)).await;
    assert!(cluster.twilio.messages_for(&silent).is_empty());
    links.iter().for_each(Link::restore);
    a.has_status(200).await;
    load.answers(100).await;
    assert_ne!(owner(&cluster.clients()).await, 0, "it stands by");
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_etcd_does_not_answer_at_its_start_stands_by_again() {
    let mut cluster = Cluster::new(1).await;
    let link = Link::to(&cluster.etcd.urls()[0]).await;
    // A campaign reads the time; the first commit of the new owner writes it.
    link.cut_after(1, "onceward/1/time");
    cluster.set(0, "etcd", vec![link.url.clone()]);
    let a = cluster.start(0).await;
    let log = || async { a.0.output().text() };
    until("the failed start", log, |log| log.contains("start as the owner failed")).await;
    link.restore();
    a.owns_the_records().await;
}

async fn leader(etcd: &Etcd) -> usize {
    let urls = etcd.urls();
    let find = async || {
        for (member, url) in urls.iter().enumerate() {
            let client = Client::new(url.trim_start_matches("http://").parse().expect("an address"));
            if let Ok(answer) = client.try_post("/v3/maintenance/status", "{}").await
                && let status = answer.json()
                && !status["leader"].is_null()
                && status["leader"] == status["header"]["member_id"]
            {
                return Some(member);
            }
        }
        None
    };
    until("a leader of etcd", find, Option::is_some).await.expect("found")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_stopped_for_10_s_answers_nothing_from_its_stale_memory() {
    let (cluster, nodes) = three_nodes().await;
    let mut load = Load::begin(&cluster, Expect::Trouble, 2);
    load.answers(100).await;
    let owner = owner(&cluster.clients()).await;
    load.avoid(owner);
    load.answers(50).await;
    load.owner_fails();
    nodes[owner].stops().await;
    sleep(Duration::from_secs(10)).await;
    load.goes_on();
    nodes[owner].0.signal(Signal::CONT);
    nodes[owner].has_status(200).await;
    load.answers(100).await;
    load.end().await;
}
