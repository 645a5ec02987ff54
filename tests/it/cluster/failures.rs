//! Nodes and members of etcd fail under load: no answer is contradicted, and nothing is sent twice.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::guests::{Expect, Load, Seen};
use super::{Cluster, Node, owner};
use crate::support::soon;

/// The exit code of a node that has lost its lease. systemd starts it again.
const LEASE_LOST: Option<i32> = Some(75);
/// Time between two kills, and until the killed node starts again.
const KILL_EVERY: Duration = Duration::from_secs(5);
const DOWN: Duration = Duration::from_secs(3);
/// The test starts with another etcd after this many kills.
const KILLS_PER_CLUSTER: u64 = 24;

/// Three nodes, whose codes are never equal by chance.
async fn three_nodes() -> (Cluster, [Node; 3]) {
    let settings = [("otp-length", json!(10)), ("otp-timeout", json!("1h")), ("log-level", json!("info"))];
    let cluster = Cluster::of_three(settings).await;
    let nodes = cluster.start_all().await;
    (cluster, nodes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_request() {
    let (cluster, nodes) = three_nodes().await;
    let (clients, mut nodes) = (cluster.clients(), nodes.map(Some));
    let mut load = Load::begin(&cluster, Expect::Answers, 1);
    load.answers(100).await;
    // The first node is the owner. Thus every way to stop occurs: an owner, a standby, a former owner.
    let mut hand_overs = 0;
    for node in 0..nodes.len() {
        let was_owner = owner(&clients).await == node;
        if was_owner {
            hand_overs += 1;
            load.owner_fails();
        }
        let stopped = nodes[node].take().expect("it runs");
        stopped.0.signal(Signal::TERM);
        let finished = stopped.0.ended().await;
        assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
        load.answers(50).await;
        nodes[node] = Some(cluster.start(node).await);
        load.answers(100).await;
    }
    let seen = load.end().await;
    assert!(hand_overs > 0 && seen.unanswered == 0, "{seen}");
}

/// `CLUSTER_KILLS=720` takes an hour; `CLUSTER_SEED` repeats the choices of a run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_killed_every_5_s_lose_and_double_nothing() {
    let kills: u64 = from_environment("CLUSTER_KILLS", 6);
    let seed: u64 = from_environment("CLUSTER_SEED", 20_261_122);
    println!("CLUSTER_SEED={seed} CLUSTER_KILLS={kills}");
    let mut seen = Seen::default();
    for first in (0..kills).step_by(usize::try_from(KILLS_PER_CLUSTER).unwrap()) {
        let kills = KILLS_PER_CLUSTER.min(kills - first);
        seen = seen.and(killed_every_5_s(kills, seed ^ (first << 20)).await);
    }
    println!("in all: {seen}");
    assert!(seen.answers > 100 * kills, "{seen}");
    assert!(
        seen.median_gap() <= Duration::from_secs(5) && seen.longest_gap() <= Duration::from_secs(8),
        "{seen}"
    );
}

async fn killed_every_5_s(kills: u64, seed: u64) -> Seen {
    let (cluster, nodes) = three_nodes().await;
    let clients = cluster.clients();
    let mut nodes = nodes.map(Some);
    let mut load = Load::begin(&cluster, Expect::Trouble, seed);
    load.answers(100).await;
    let begin = Instant::now();
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
        sleep_until(due + DOWN).await;
        nodes[victim] = Some(cluster.start(victim).await);
    }
    soon("an owner", owner(&clients)).await;
    load.answers(100).await;
    load.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_stopped_for_10_s_answers_nothing_from_its_stale_memory() {
    let (cluster, [a, _b, _c]) = three_nodes().await;
    let mut load = Load::begin(&cluster, Expect::Trouble, 2);
    load.answers(100).await;
    load.avoid(0);
    load.answers(50).await;
    load.owner_fails();
    a.stops().await;
    sleep(Duration::from_secs(10)).await;
    load.goes_on();
    a.0.signal(Signal::CONT);
    let finished = a.0.ended().await;
    assert_eq!(finished.status.code(), LEASE_LOST, "{}", finished.output);
    let _a = cluster.start(0).await;
    load.answers(100).await;
    let seen = load.end().await;
    assert!(seen.longest_gap() <= Duration::from_secs(8), "{seen}");
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}
