//! Processes of etcd on loopback. The tests of the server use this file too.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A cluster of etcd processes, which ends with it.
pub struct Etcd {
    members: Vec<Member>,
    /// Further arguments of each member.
    arguments: Vec<String>,
    /// The members' data.
    pub directory: TempDir,
    peers: String,
}

struct Member {
    name: String,
    client: String,
    peer: String,
    process: Option<Child>,
}

impl Etcd {
    /// Starts so many members. They answer some time later.
    pub fn launch(members: usize) -> Self {
        Self::launch_with(members, "http", Vec::new())
    }

    /// The same with clients of this scheme, and these arguments.
    pub fn launch_with(members: usize, scheme: &str, arguments: Vec<String>) -> Self {
        // Held until all are chosen: otherwise the system may give one twice.
        let listeners: Vec<_> = (0..2 * members).map(|_| free_port()).collect();
        let mut addresses = listeners.iter().map(|listener| listener.local_addr().expect("an address"));
        let mut member = |index| Member {
            name: format!("m{index}"),
            client: format!("{scheme}://{}", addresses.next().expect("a port")),
            peer: format!("http://{}", addresses.next().expect("a port")),
            process: None,
        };
        let members: Vec<Member> = (0..members).map(&mut member).collect();
        let peers: Vec<String> =
            members.iter().map(|member| format!("{}={}", member.name, member.peer)).collect();
        drop(listeners);
        let directory = tempfile::tempdir().expect("a directory");
        let mut etcd = Self { members, arguments, directory, peers: peers.join(",") };
        for index in 0..etcd.members.len() {
            etcd.start_member(index);
        }
        etcd
    }

    pub fn start_member(&mut self, index: usize) {
        let Member { name, client, peer, process } = &mut self.members[index];
        let started = Command::new("etcd")
            .args(["--name", name, "--data-dir"])
            .arg(self.directory.path().join(&*name))
            .args(["--listen-client-urls", client, "--advertise-client-urls", client])
            .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer])
            .args(["--initial-cluster", &self.peers, "--log-level", "error"])
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        *process = Some(started.expect("etcd: install it with apt-get install etcd-server"));
    }

    /// Kills a member with SIGKILL.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.members[index].process.take() {
            process.kill().expect("killed");
            process.wait().expect("ended");
        }
    }

    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client.clone()).collect()
    }
}

/// A port that the system gives to no other socket: one below those of outgoing connections.
fn free_port() -> TcpListener {
    let random = || RandomState::new().build_hasher().finish() % 12_000;
    let port = || u16::try_from(20_000 + random()).expect("a port");
    (0..1_000).find_map(|_| TcpListener::bind(("127.0.0.1", port())).ok()).expect("a free port")
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
        }
    }
}
