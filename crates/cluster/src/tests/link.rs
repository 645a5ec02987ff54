//! A connection to etcd that can be cut. The tests of the server use this file too.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy to a member of etcd. It holds all bytes back while it is cut, and delivers them later, as a network that loses
/// packets does.
pub struct Link {
    pub url: String,
    cut: Arc<watch::Sender<Cut>>,
}

/// What a [`Link`] holds back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Nothing,
    Answers,
    All,
}

impl Link {
    pub async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let cut = Arc::new(watch::Sender::new(Cut::Nothing));
        let (etcd, state) = (url.trim_start_matches("http://").to_owned(), Arc::clone(&cut));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A member that does not run closes the connection.
                let Ok(server) = TcpStream::connect(&etcd).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(pass_on(from_client, to_server, state.subscribe(), |cut| cut != Cut::All));
                tokio::spawn(pass_on(from_server, to_client, state.subscribe(), |cut| cut == Cut::Nothing));
            }
        });
        Self { url: format!("http://{address}"), cut }
    }

    pub fn cut(&self) {
        self.cut.send_replace(Cut::All);
    }

    /// Requests arrive, and their answers do not.
    pub fn cut_answers(&self) {
        self.cut.send_replace(Cut::Answers);
    }

    pub fn restore(&self) {
        self.cut.send_replace(Cut::Nothing);
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut cut: watch::Receiver<Cut>,
    may_pass: fn(Cut) -> bool,
) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if cut.wait_for(|cut| may_pass(*cut)).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
