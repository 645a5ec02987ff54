//! Nodes that share an etcd: one owns the records, the others stand by.

mod failures;
mod load;

use std::net::TcpListener;
use std::sync::Arc;

use tokio::time::timeout;

use crate::support::prelude::*;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

const NAMES: [&str; 3] = ["a", "b", "c"];

/// An etcd, a Twilio double, and the setups of the nodes.
struct Cluster {
    etcd: Etcd,
    twilio: Arc<Twilio>,
    numbers: Arc<Numbers>,
    setups: Vec<Setup>,
    addresses: Vec<String>,
}

impl Cluster {
    /// An etcd of so many members, and two nodes.
    async fn new(members: usize) -> Self {
        Self::with(members, 2, &[]).await
    }

    async fn with(members: usize, nodes: usize, settings: &[(&str, &str)]) -> Self {
        let (etcd, twilio) = (Etcd::launch(members), Arc::new(Twilio::start().await));
        // Held until all are chosen: otherwise the system may give one twice. No connection begins at this address:
        // none takes the port of a node while that is restarted.
        let listeners: Vec<_> =
            (0..nodes).map(|_| TcpListener::bind((loopback(), 0)).expect("a port")).collect();
        let address = |listener: &TcpListener| listener.local_addr().expect("an address").to_string();
        let addresses: Vec<String> = listeners.iter().map(address).collect();
        let setup = |node: usize| {
            let address = &addresses[node];
            let setup = through(&twilio.base_url(), V2::account(Setup::new()))
                .args(["--listen", address])
                .config("cluster", cluster_settings(&etcd.urls(), node))
                .file("shared.key", KEY)
                .config("key-file", "shared.key");
            settings.iter().fold(setup, |setup, (key, value)| setup.config(key, *value))
        };
        let setups = (0..nodes).map(setup).collect();
        Self { etcd, twilio, numbers: Arc::default(), setups, addresses }
    }

    /// A client of each node, which lives longer than the node's process.
    fn clients(&self) -> Vec<Client> {
        let client = |address: &String| Client::new(address.parse().expect("an address"));
        self.addresses.iter().map(client).collect()
    }

    /// `haproxy` in front of three nodes, and its client; `None` where it is not installed.
    async fn balancer(&self) -> Option<(Client, Proxy)> {
        let address = unused_address();
        let [a, b, c] = &self.addresses[..] else { panic!("three nodes") };
        let bind = format!("bind {address}");
        let filled_in = [
            ("bind :443 ssl crt /etc/haproxy/otp.pem", &bind),
            ("10.0.0.21:3000", a),
            ("10.0.0.22:3000", b),
            ("10.0.0.23:3000", c),
        ];
        let text = proxy_file("haproxy.cfg", &filled_in.map(|(place, value)| (place, value.as_str())));
        let setup = Setup::bare().file("proxy.conf", text);
        let haproxy = Proxy::start("haproxy", &["-db", "-f", "proxy.conf"], setup, &[address]).await?;
        Some((Client::new(address), haproxy))
    }

    async fn start(&self, node: usize) -> Server {
        self.setups[node].launch_until("standing by").await.expect("it stands by")
    }

    /// Starts the node that owns the records and the ones that stand by.
    async fn start_all<const N: usize>(&self) -> [Server; N] {
        let first = self.start(0).await;
        first.owns_the_records().await;
        let mut nodes = vec![first];
        for node in 1..N {
            nodes.push(self.start(node).await);
        }
        nodes.try_into().unwrap_or_else(|_| unreachable!("N nodes"))
    }

    fn reaches_etcd_by(&mut self, urls: &[String], node: usize) {
        self.setups[node] = self.setups[node].clone().config("cluster", cluster_settings(urls, node));
    }

    /// A new number, and the code that it received from this node. Where the owner got no processor in time, a send is
    /// answered 503, and the next one has another number.
    async fn number_with_code(&self, node: &Server) -> (String, String) {
        let send = async || {
            let number = self.numbers.next();
            (node.client.send(&number).await, number)
        };
        let (answer, number) = until("a message", send, |(answer, _)| answer.status() != 503).await;
        answer.expects(sent(&number, 5));
        (number.clone(), self.twilio.code_for(&number))
    }
}

fn cluster_settings(etcd: &[String], node: usize) -> Value {
    json!({ "etcd": etcd, "node": NAMES[node] })
}

impl Server {
    async fn owns_the_records(&self) {
        let owner = async || self.client.try_get("/owner").await.is_ok_and(|answer| answer.status() == 200);
        until("the owner", owner, |is_owner| *is_owner).await;
    }

    async fn is_ready(&self) {
        self.shows("readiness", |answer| answer.status() == 200).await;
    }

    /// Waits for such an answer of `/readyz`.
    async fn shows(&self, what: &str, is_it: impl Fn(&HttpResponse) -> bool) {
        let readiness = async || self.try_readiness().await.ok();
        until(what, readiness, |answer| answer.as_ref().is_some_and(&is_it)).await;
    }
}

/// The node that owns the records, once one does.
async fn owner(clients: &[Client]) -> usize {
    let find = async || {
        for (node, client) in clients.iter().enumerate() {
            // A node that was stopped accepts connections.
            let answer = timeout(Duration::from_secs(5), client.try_get("/owner")).await;
            if matches!(answer, Ok(Ok(answer)) if answer.status() == 200) {
                return Some(node);
            }
        }
        None
    };
    until("an owner", find, Option::is_some).await.expect("found")
}

#[tokio::test]
async fn the_lease_of_a_killed_owner_is_released_by_command_and_never_before() {
    let cluster = Cluster::new(1).await;
    let [a, b] = cluster.start_all().await;
    let release = async || cluster.setups[0].command(["cluster", "release"]).await;
    release().await.exits(70);
    let (number, code) = cluster.number_with_code(&a).await;
    a.kill();
    a.ended().await;
    let lease = cluster.setups[0].data_dir().join("lease");
    let noted = std::fs::read(&lease).expect("its id");
    release().await.says(["lease released"]);
    // Without a release it would last for two seconds more.
    std::fs::write(&lease, noted).expect("its id again");
    release().await.exits(0).says(["no lease is left"]);
    b.owns_the_records().await;
    b.client.verify(&number, &code).await.expects(verified(&number));
    etcd_does_not_hold(&cluster, &number, &code);
}

fn etcd_does_not_hold(cluster: &Cluster, number: &str, code: &str) {
    let mut bytes = 0;
    for (file, contents) in files(cluster.etcd.directory.path()) {
        bytes += contents.len();
        for secret in [number.trim_start_matches('+'), code] {
            let is_there = used(&contents).windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{secret} in {}", file.display());
        }
    }
    assert!(bytes > 1_000_000, "etcd's files were read");
}

#[tokio::test]
async fn a_cluster_grows_from_the_export_of_a_single_machine() {
    let cluster = Cluster::new(1).await;
    let alone = through(&cluster.twilio.base_url(), Setup::new())
        .file("data-key", KEY)
        .config("key-file", "data-key");
    let server = alone.start().await;
    let number = cluster.numbers.next();
    server.client.send(&number).await.expects(sent(&number, 5));
    let code = cluster.twilio.code_for(&number);
    server.client.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
    server.stop().await;
    alone.command(["export", "--out", "backup.jsonl"]).await.exits(0);
    let export = std::fs::read(alone.home().join("backup.jsonl")).unwrap();

    let setup = cluster.setups[0]
        .clone()
        .file("backup.jsonl", &export)
        .file("cut.jsonl", &export[..export.len() / 2]);
    let import = async |file: &str| setup.command(["import", file]).await;
    let cut = import("cut.jsonl").await;
    assert!(!cut.status.success(), "{}", cut.output);
    cut.says(["no node serves before an import succeeds"]);
    let a = cluster.start(0).await;
    // Twice the lease of the import that was cut off.
    tokio::time::sleep(Duration::from_secs(4)).await;
    a.readiness().await.expects_status(503).says(["before an import is complete"]);
    a.output().text().says(["no node owns the records of the cluster before an import is complete"]);
    let imported = import("backup.jsonl").await.exits(0);
    imported.says(["imported 1 numbers", "into etcd"]);
    assert!(!imported.output.contains("ownership"), "{}", imported.output);
    a.owns_the_records().await;
    a.client.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 3));
    a.client.verify(&number, &code).await.expects(verified(&number));
    import("backup.jsonl").await.says(["a node owns the records"]);
    a.stop().await;
    import("backup.jsonl").await.exits(70).says(["etcd has records of the cluster already"]);
}

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
