//! A connection to etcd that can be cut. The tests of the server use this file too.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy to a member of etcd. It holds all bytes back while it is cut, and delivers them later, as a network that loses
/// packets does.
pub struct Link {
    pub url: String,
    cut: Arc<watch::Sender<Cut>>,
    /// A text in requests, and how many requests with it still pass. The next one cuts the link.
    last_of: Arc<Mutex<Option<(&'static str, usize)>>>,
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
        let last_of = Arc::new(Mutex::new(None));
        let limit = Arc::clone(&last_of);
        let (etcd, state) = (url.trim_start_matches("http://").to_owned(), Arc::clone(&cut));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A member that does not run closes the connection.
                let Ok(server) = TcpStream::connect(&etcd).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let (state, ends, limit) = (Arc::clone(&state), Arc::clone(&state), Arc::clone(&limit));
                let cut_at_limit = move |request: &[u8]| {
                    if is_beyond(&limit, request) {
                        ends.send_replace(Cut::All);
                    }
                };
                let (to_etcd, from_etcd) = (state.subscribe(), state.subscribe());
                tokio::spawn(pass_on(from_client, to_server, to_etcd, |cut| cut != Cut::All, cut_at_limit));
                tokio::spawn(pass_on(from_server, to_client, from_etcd, |cut| cut == Cut::Nothing, |_| ()));
            }
        });
        Self { url: format!("http://{address}"), cut, last_of }
    }

    /// Cuts the link at the request with `text` that follows the next `passes` of them.
    pub fn cut_after(&self, passes: usize, text: &'static str) {
        *self.last_of.lock().expect("no panic") = Some((text, passes));
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
    before: impl Fn(&[u8]),
) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        before(&bytes[..read]);
        if cut.wait_for(|cut| may_pass(*cut)).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

fn is_beyond(limit: &Mutex<Option<(&'static str, usize)>>, request: &[u8]) -> bool {
    let mut limit = limit.lock().expect("no panic");
    let Some((text, passes)) = limit.as_mut() else { return false };
    if !request.windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
        return false;
    }
    let is_beyond = *passes == 0;
    if is_beyond {
        *limit = None;
    } else {
        *passes -= 1;
    }
    is_beyond
}
