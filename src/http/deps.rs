//! What the front end is handed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use crate::config::{AnswerSet, Bounds};
use crate::domain::Region;

use crate::shard::{CheckAnswer, CheckRequest, Refusal, SendAnswer, SendOptions, SendRequest, Verifier};

/// Whether the server can do its work now; else the reasons, for `/readyz`. Asked at each request
/// of that route, so it must be cheap.
pub type Readiness = Arc<dyn Fn() -> Result<(), Vec<String>> + Send + Sync>;

/// Everything the endpoints need.
pub struct Deps<V = Verifier> {
    /// Who decides.
    pub verifier: V,
    /// Which set of answers `/api/*` gives.
    pub answers: AnswerSet,
    /// Body size, time-outs, connections.
    pub bounds: Bounds,
    /// Region of numbers without `+`; `None` refuses them.
    pub default_region: Option<Region>,
    /// How long a lockout lasts; the as-built answers print it.
    pub lockout: Duration,
    /// What a code sent through `/send-code` is like.
    pub tutorial_code: SendOptions,
    /// Answers `/readyz`.
    pub readiness: Readiness,
    /// The simulator's inbox; `None` when messages go to a provider.
    pub pages: Option<Arc<dyn Pages>>,
    /// Host name under which `pages` may be asked for, beside IP addresses and `localhost`: the one
    /// that is configured to listen on.
    pub host_name: Option<Arc<str>>,
    /// Random for each start of the program, so that request ids of two starts differ.
    pub request_id_prefix: u32,
}

/// Who decides sends and checks: the [`Verifier`], or a script in tests.
pub trait Verify: Send + Sync + 'static {
    /// As [`Verifier::send`].
    fn send(&self, request: SendRequest) -> impl Future<Output = Result<SendAnswer, Refusal>> + Send;

    /// As [`Verifier::check`].
    fn check(&self, request: CheckRequest) -> impl Future<Output = Result<CheckAnswer, Refusal>> + Send;
}

impl Verify for Verifier {
    fn send(&self, request: SendRequest) -> impl Future<Output = Result<SendAnswer, Refusal>> + Send {
        Self::send(self, request)
    }

    fn check(&self, request: CheckRequest) -> impl Future<Output = Result<CheckAnswer, Refusal>> + Send {
        Self::check(self, request)
    }
}

/// The pages below `/inbox`.
pub trait Pages: Send + Sync + 'static {
    /// Answers `GET` of a path that is `/inbox` or begins with `/inbox/`. `path` and `query` are as
    /// the client sent them, still percent-encoded. `None` is answered with 404.
    fn page(&self, path: &str, query: Option<&str>) -> Option<Page>;
}

/// One page, ready to send.
#[derive(Debug, Clone)]
pub struct Page {
    /// Usually 200.
    pub status: StatusCode,
    /// The media type, such as `text/html; charset=utf-8`.
    pub content_type: &'static str,
    /// The content.
    pub body: Bytes,
    /// Further headers. A `cache-control` here replaces the `no-store` of all other answers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}
