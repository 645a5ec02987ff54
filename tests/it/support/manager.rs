//! The service manager's end of its socket, a datagram socket.

use tokio::net::UnixDatagram;

use super::{Setup, soon};

pub struct Manager(UnixDatagram);

impl Manager {
    /// The setup's program has this manager.
    pub fn of(setup: Setup) -> (Self, Setup) {
        let path = setup.home().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a datagram socket");
        let setup = setup.env("NOTIFY_SOCKET", path.to_str().expect("a path in UTF-8"));
        (Self(socket), setup)
    }

    /// Waits for a message with a line that begins like this.
    pub async fn until(&self, line: &str) {
        soon(line, async {
            let mut bytes = vec![0; 4096];
            loop {
                let length = self.0.recv(&mut bytes).await.expect("a message");
                if lines(&bytes[..length]).iter().any(|found| found.starts_with(line)) {
                    return;
                }
            }
        })
        .await;
    }

    pub fn received(&self) -> Vec<String> {
        let (mut received, mut bytes) = (Vec::new(), vec![0; 4096]);
        while let Ok(length) = self.0.try_recv(&mut bytes) {
            received.extend(lines(&bytes[..length]));
        }
        received
    }
}

fn lines(message: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(message).lines().map(str::to_owned).collect()
}
