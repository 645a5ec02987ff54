//! The Redis version's job on Redis: what keeping codes, counts and locks there costs.
//!
//! The Redis version is a Go service. Here hyper and reqwest stand in for Go's HTTP server and client, so that
//! beside the stateless ceiling and beside onceward only the state differs. It is a measure, not a product: like its
//! model it decides in several steps, and two requests for one number at the same moment can pass each other.
//!
//! # Commands
//!
//! Codes, remaining trials and locks have a key each. The steps are those of the published service
//! (`api/handlers.go`, `service.go`, `repository.go` of go-redis-twilio-phone-otp). It awaits each command before the
//! next and uses no pipeline, script or transaction, so every command is a round trip.
//!
//! | request | commands, in order | round trips |
//! |---|---|---|
//! | send, first of a number | `GET lock`, `SET code EX`, (message), `GET trials`, `SET trials` | 4 |
//! | send, again | `GET lock`, `SET code EX`, (message), `GET trials` | 3 |
//! | send or check, locked | `GET lock`, `TTL lock` | 2 |
//! | check, right | `GET lock`, `GET code`, `DEL code`, `DEL trials` | 4 |
//! | check, wrong or late | `GET lock`, `GET code`, `GET trials`, `DECR trials` | 4 |
//! | check, the last trial | `GET lock`, `GET code`, `GET trials`, `DEL code`, `DEL trials`, `SET lock EX` | 6 |
//! | check, never asked | `GET lock`, `GET code`, `GET trials` | 3 |
//!
//! Why each: a lock refuses before anything else is looked at; its `TTL` is the answer's minutes. The code ends by
//! itself, hence `EX`. The trials are made by the first send and kept by the next. A right code removes both keys, each
//! by itself. The code is kept before the message leaves, as there. The last row is one command less than there: the
//! published service also counts for a number that never asked, which the contract forbids.
//!
//! A send and then a right check, which is what the load bench drives most, are so 8 round trips. Four of them change
//! something, and wait for the disk where Redis is told to sync each change.
//!
//! # Connections
//!
//! One connection that all requests share: each waits for its own answers, and what several have to say at the same
//! moment goes out in one write. The published service opened a pool for each command and never closed it; its
//! client's default, if the pool is kept, is ten connections a core with one command at a time on each. Sharing spares
//! both sides most of their system calls, so it is the kindest to Redis of what is common: what is measured is the least
//! that such a service pays.

mod cache;
mod provider;
mod routes;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use cache::Cache;
use provider::Provider;
use routes::Routes;

use super::announce;

/// The defaults of the configuration that both have.
const RULES: Rules =
    Rules { life: Duration::from_secs(30), max_trials: 5, lockout: Duration::from_secs(30 * 60) };

/// What is counted, and for how long.
#[derive(Debug, Clone, Copy)]
struct Rules {
    life: Duration,
    max_trials: i64,
    lockout: Duration,
}

/// Why the server could not start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Redis does not answer.
    #[error("Redis does not answer at {url}: {source}")]
    Redis {
        /// Where it was looked for.
        url: String,
        /// What it or the system said.
        source: redis::RedisError,
    },
    /// The HTTP library refused its settings.
    #[error("the HTTP client for the provider could not be set up")]
    Client(#[from] reqwest::Error),
    /// The system gives no more connections.
    #[error("no connection can be accepted")]
    Accept(#[from] io::Error),
}

/// Serves `POST /api/send-otp` and `POST /api/verify-otp` as the contract documents them, until the task is
/// dropped or the process ends. `redis_url` is such as `redis://127.0.0.1:6379`; messages go to Twilio Messages at
/// `twilio_base_url`. Says on standard error, as one line of JSON, where it listens.
///
/// # Errors
/// [`ServeError`]. A Redis that fails later is answered with 500, as the published service does.
pub async fn serve(listener: TcpListener, redis_url: &str, twilio_base_url: &str) -> Result<(), ServeError> {
    let unreachable = |source| ServeError::Redis { url: redis_url.to_owned(), source };
    let cache = Cache::connect(redis_url).await.map_err(unreachable)?;
    let provider = Provider::new(twilio_base_url)?;
    let routes = Arc::new(Routes { cache, provider, rules: RULES });
    announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let routes = Arc::clone(&routes);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let routes = Arc::clone(&routes);
                async move { routes.answer(request).await }
            });
            // Whoever drives it hangs up when it has enough.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
