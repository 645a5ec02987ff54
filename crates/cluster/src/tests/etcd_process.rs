//! Processes of etcd on loopback. The tests of the server use this file too.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

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
        let member = |index| Member {
            name: format!("m{index}"),
            client: format!("{scheme}://{}", unused_address()),
            peer: format!("http://{}", unused_address()),
            process: None,
        };
        let members: Vec<Member> = (0..members).map(member).collect();
        let peers: Vec<String> =
            members.iter().map(|member| format!("{}={}", member.name, member.peer)).collect();
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

/// An address of loopback that belongs to this process: the members of other tests never take the port of a member that
/// was killed.
pub fn loopback() -> Ipv4Addr {
    // A process id has 22 bits.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | high, middle, low)
}

/// An address that this process uses once. The port is below those that the system chooses.
pub fn unused_address() -> SocketAddr {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);
    SocketAddr::from((loopback(), NEXT_PORT.fetch_add(1, Ordering::Relaxed)))
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
        }
    }
}
