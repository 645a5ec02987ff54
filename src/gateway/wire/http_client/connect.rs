//! How a connection to a provider comes about: its name, the way to it, TLS, and how long all of that may take.

use std::error::Error;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec::IntoIter;

use hyper::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Intercept;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tower_service::Service;

use super::bounded::{Bounded, Stream};
use super::reach::Reach;
use crate::gateway::BoxFuture;

/// Time for name resolution, TCP and TLS together.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Names that are looked up at once. The system's resolver blocks a thread each, for as long as it likes; further
/// look-ups wait, and end with the connect time-out.
static LOOK_UPS: Semaphore = Semaphore::const_new(32);

type Plain = HttpConnector<Names>;

/// Makes connections to one provider.
#[derive(Clone)]
pub(super) struct Connector {
    way: Way,
}

#[derive(Clone)]
enum Way {
    Direct(HttpsConnector<Plain>),
    /// Through a proxy, which sees a tunnel and no contents.
    Tunnel(Box<HttpsConnector<Tunnel<HttpsConnector<Plain>>>>),
}

/// The system did not say which addresses a name has.
#[derive(Debug, thiserror::Error)]
#[error("the name could not be resolved")]
pub(super) struct NotResolved;

/// Every address of a name is one that this client may not connect to.
#[derive(Debug, thiserror::Error)]
#[error("the address is out of reach")]
pub(super) struct OutOfReach;

/// There was no connection within [`CONNECT_TIMEOUT`].
#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
pub(super) struct TooLate;

impl Connector {
    /// Connects directly to what is within `reach`, or through `proxy`, which decides by itself where it connects to.
    pub(super) fn new(tls: &Arc<rustls::ClientConfig>, proxy: Option<&Intercept>, reach: Reach) -> Self {
        let reach = if proxy.is_some() { Reach::Anywhere } else { reach };
        let mut tcp = HttpConnector::new_with_resolver(Names { reach });
        // With several addresses, so that one which does not answer leaves time for the next.
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let way = match proxy {
            None => Way::Direct(with_tls(tls, tcp)),
            Some(proxy) => {
                let tunnel = Tunnel::new(proxy.uri().clone(), with_tls(tls, tcp));
                let tunnel = match proxy.basic_auth() {
                    Some(credentials) => tunnel.with_auth(credentials.clone()),
                    None => tunnel,
                };
                Way::Tunnel(Box::new(with_tls(tls, tunnel)))
            }
        };
        Self { way }
    }
}

fn with_tls<C>(tls: &Arc<rustls::ClientConfig>, below: C) -> HttpsConnector<C> {
    HttpsConnector::from((below, Arc::clone(tls)))
}

impl Service<Uri> for Connector {
    type Response = Bounded;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Bounded, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match &mut self.way {
            Way::Direct(connector) => connector.poll_ready(cx),
            Way::Tunnel(connector) => connector.poll_ready(cx),
        }
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match &mut self.way {
            Way::Direct(connector) => Box::pin(in_time(connector.call(to))),
            Way::Tunnel(connector) => Box::pin(in_time(connector.call(to))),
        }
    }
}

async fn in_time<S: Stream + 'static>(
    connecting: impl Future<Output = Result<S, Box<dyn Error + Send + Sync>>>,
) -> Result<Bounded, Box<dyn Error + Send + Sync>> {
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| TooLate)??;
    Ok(Bounded::new(Box::new(stream)))
}

/// The system's resolver, without the addresses that are out of reach.
#[derive(Debug, Clone)]
pub(super) struct Names {
    reach: Reach,
}

impl Service<Name> for Names {
    type Response = IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { reach } = *self;
        Box::pin(async move {
            let place = LOOK_UPS.acquire().await.map_err(|_| NotResolved)?;
            // The place is taken until the thread is free again, also when nobody waits for the answer any more.
            let look_up = spawn_blocking(move || {
                let addresses = (name.as_str(), 0).to_socket_addrs();
                drop(place);
                addresses
            });
            let addresses = look_up.await.map_err(|_| NotResolved)?.map_err(|_| NotResolved)?;
            if reach == Reach::Anywhere {
                return Ok(addresses);
            }
            let allowed: Vec<_> = addresses.filter(|address| reach.allows(address.ip())).collect();
            if allowed.is_empty() { Err(OutOfReach.into()) } else { Ok(allowed.into_iter()) }
        })
    }
}

impl fmt::Debug for Connector {
    /// Without the proxy's credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
