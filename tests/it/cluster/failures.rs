//! Nodes and members of etcd fail under load behind `haproxy`: no answer is contradicted, and nothing is sent twice.

use rustix::process::Signal;
use tokio::time::{sleep, sleep_until};

use super::load::{Load, now};
use super::{Cluster, owner};
use crate::support::prelude::*;

/// Time between two kills, and until the killed node starts again.
const KILL_EVERY: Duration = Duration::from_secs(5);
const DOWN: Duration = Duration::from_secs(3);

/// The test starts with another etcd after this many kills.
const KILLS_PER_CLUSTER: u64 = 24;

/// Two codes of ten digits are never equal by chance.
const SETTINGS: [(&str, &str); 4] =
    [("otp-length", "10"), ("otp-timeout", "1h"), ("log-level", "info"), ("allow-unauthenticated", "true")];

/// Three nodes behind `haproxy`; `None` where it is not installed.
async fn behind_haproxy() -> Option<(Cluster, [Server; 3], Client, Proxy)> {
    let cluster = Cluster::with(3, 3, &SETTINGS).await;
    let (client, haproxy) = cluster.balancer().await?;
    let nodes = cluster.start_all().await;
    client.has_an_owner().await;
    Some((cluster, nodes, client, haproxy))
}

impl Client {
    /// Returns once the balancer has found the owner.
    async fn has_an_owner(&self) {
        until("the owner behind HAProxy", || self.get("/owner"), |answer| answer.status() == 200).await;
    }
}

/// Takes half a minute, and an hour with `CLUSTER_KILLS=720`; `CLUSTER_SEED` repeats the choices of a run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_and_rolling_restarts_behind_haproxy_lose_and_double_nothing() {
    let kills: u64 = from_environment("CLUSTER_KILLS", 4);
    let seed: u64 = from_environment("CLUSTER_SEED", 20_261_122);
    println!("CLUSTER_SEED={seed} CLUSTER_KILLS={kills}");
    for first in (0..kills).step_by(usize::try_from(KILLS_PER_CLUSTER).unwrap()) {
        let Some((cluster, mut nodes, client, _haproxy)) = behind_haproxy().await else { return };
        let kills = KILLS_PER_CLUSTER.min(kills - first).div_ceil(2);
        // With `onceward cluster release`, which the service manager runs, and without: then the lease runs out.
        for releases in [true, false] {
            println!("{kills} kills, with a release: {releases}");
            let load = Load::begin(&cluster, &client, seed ^ (first << 20) ^ u64::from(releases));
            nodes = killed_every_5_s(&cluster, &client, nodes, load, (kills, releases)).await;
        }
        println!("restarted in turn");
        let load = Load::begin(&cluster, &client, seed ^ (first << 20));
        restarted_in_turn(&cluster, &client, nodes, load).await;
    }
}

async fn killed_every_5_s(
    cluster: &Cluster,
    client: &Client,
    nodes: [Server; 3],
    mut load: Load,
    (kills, releases): (u64, bool),
) -> [Server; 3] {
    let mut nodes = nodes.map(Some);
    load.answers(100).await;
    let begin = now();
    for kill in 0..kills {
        let due = begin + KILL_EVERY * u32::try_from(kill).unwrap();
        sleep_until(due).await;
        load.goes_on();
        let owner = owner(&cluster.clients()).await;
        // Every third one is a standby.
        let victim = if kill % 3 == 1 { (owner + 1) % 3 } else { owner };
        let Some(node) = nodes[victim].take() else { panic!("node {victim} has ended") };
        node.kill();
        node.ended().await;
        if releases {
            cluster.setups[victim].command(["cluster", "release"]).await.exits(0);
        }
        sleep_until(due + DOWN).await;
        nodes[victim] = Some(cluster.start(victim).await);
    }
    client.has_an_owner().await;
    load.answers(100).await;
    load.end().await;
    nodes.map(|node| node.expect("it was started again"))
}

/// A node that stops finishes what it has begun and refuses the rest: no client has to wonder what has happened.
async fn restarted_in_turn(cluster: &Cluster, client: &Client, nodes: [Server; 3], mut load: Load) {
    load.answers(100).await;
    let (mut logs, mut started) = (Vec::new(), Vec::new());
    for (number, node) in nodes.into_iter().enumerate() {
        let was_owner = owner(&cluster.clients()).await == number;
        let stopped = node.stop().await.exits(0);
        if was_owner {
            stopped.says(["every request is finished and in etcd"]);
        }
        logs.push(stopped.output);
        client.has_an_owner().await;
        let node = cluster.start(number).await;
        node.is_ready().await;
        load.answers(100).await;
        started.push(node);
    }
    let seen = load.end().await;
    logs.extend(started.iter().map(|node| node.output().text()));
    // Beside other work etcd or a node may get no processor in time.
    let troubles = ["commit to etcd failed", "lease not kept alive", "lease in etcd lost"];
    let had_trouble = logs.iter().any(|log| troubles.iter().any(|words| log.contains(words)));
    assert!(seen.unknown() == 0 || had_trouble, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_members_of_etcd_delay_requests_and_lose_nothing() {
    let Some((mut cluster, _nodes, client, _haproxy)) = behind_haproxy().await else { return };
    let mut load = Load::begin(&cluster, &client, 3);
    load.answers(100).await;
    // One of them leads.
    for member in 0..3 {
        cluster.etcd.kill(member);
        load.answers(200).await;
        cluster.etcd.start_member(member);
        load.answers(100).await;
    }
    client.has_an_owner().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_cut_off_from_etcd_answers_503_and_ends_and_another_takes_over() {
    let mut cluster = Cluster::with(3, 3, &SETTINGS).await;
    let mut links = Vec::new();
    for url in cluster.etcd.urls() {
        links.push(Link::to(&url).await);
    }
    let through: Vec<String> = links.iter().map(|link| link.url.clone()).collect();
    cluster.reaches_etcd_by(&through, 0);
    let Some((client, _haproxy)) = cluster.balancer().await else { return };
    let [a, _b, _c] = cluster.start_all().await;
    client.has_an_owner().await;
    let mut load = Load::begin(&cluster, &client, 4);
    load.answers(100).await;
    assert_eq!(owner(&cluster.clients()).await, 0, "the node that began first");
    links.iter().for_each(Link::cut);
    let silent = cluster.numbers.next();
    until(
        "503",
        async || a.client.try_send(&silent).await.is_ok_and(|it| it.status() == 503),
        |is_it| *is_it,
    )
    .await;
    a.ended().await.exits(75).says(["lease in etcd lost"]);
    owner(&cluster.clients()[1..]).await;
    load.answers(100).await;
    assert!(cluster.twilio.messages_for(&silent).is_empty());
    let a = cluster.start(0).await;
    let stands_by = "this node stands by; etcd does not answer";
    a.shows(stands_by, |answer| answer.status() == 503 && answer.text().contains(stands_by)).await;
    links.iter().for_each(Link::restore);
    a.is_ready().await;
    load.answers(100).await;
    assert_ne!(owner(&cluster.clients()).await, 0, "it stands by");
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_etcd_does_not_answer_at_its_start_ends() {
    let mut cluster = Cluster::new(1).await;
    let link = Link::to(&cluster.etcd.urls()[0]).await;
    // A campaign reads the time; the first commit of the new owner writes it.
    link.cut_after(1, "onceward/1/time");
    cluster.reaches_etcd_by(std::slice::from_ref(&link.url), 0);
    let a = cluster.start(0).await;
    a.ended().await.exits(75).says(["start as the owner failed"]);
    link.restore();
    cluster.start(0).await.owns_the_records().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_stopped_for_10_s_answers_nothing_from_its_stale_memory() {
    let Some((cluster, nodes, client, _haproxy)) = behind_haproxy().await else { return };
    let mut load = Load::begin(&cluster, &client, 2);
    load.answers(100).await;
    let mut nodes = nodes.map(Some);
    let owner = owner(&cluster.clients()).await;
    let stopped = nodes[owner].take().expect("the owner");
    // Every thread stops, as on a suspended machine.
    stopped.signal(Signal::STOP);
    sleep(Duration::from_secs(10)).await;
    load.goes_on();
    stopped.signal(Signal::CONT);
    stopped.ended().await.exits(75);
    nodes[owner] = Some(cluster.start(owner).await);
    load.answers(100).await;
    load.end().await;
}
