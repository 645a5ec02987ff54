//! Requests to addresses that were named over the API: by somebody who may do that, but not to somewhere that only this
//! machine can reach.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::answer_headers::retry_after;
use super::http_client::{HttpClient, NoAnswer, OUT_OF_REACH, Reach, Request, proxy_to, tls_config};
use super::provider_url::as_sent;

/// The most of an answer's body that is read, in bytes, so that its connection can be used again.
const BODY_MAX: usize = 16 * 1024;

/// The longest time that is spent on that.
const BODY_TIME: Duration = Duration::from_secs(1);

/// Posts JSON to any address that it may reach. Follows no redirect, and repeats nothing.
pub struct Poster {
    reach: Reach,
    time_limit: Duration,
    /// By the proxy on the way; the environment names at most one.
    clients: Mutex<HashMap<Way, Arc<HttpClient>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Way {
    secure: bool,
    proxy: Option<String>,
}

/// What was answered. Its body is read only so far that the connection can be used again, and nobody sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostAnswer {
    /// The HTTP status.
    pub status: u16,
    /// How long the receiver wants to be left in peace.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer. The words are ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The text is no address, or one that nothing is sent to.
    #[error("{0}")]
    Address(&'static str),
    /// There was no connection, so nothing was sent.
    #[error("{0}")]
    NotConnected(String),
    /// No answer within the time limit. It may have arrived.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke. It may have arrived.
    #[error("{0}")]
    Broken(&'static str),
}

impl Poster {
    /// Link-local addresses, and with them the metadata of clouds, are never reached. `private` says whether this
    /// machine and private networks are. An answer must begin within `time_limit`.
    pub fn new(private: bool, time_limit: Duration) -> Self {
        let reach = if private { Reach::Premises } else { Reach::Public };
        Self { reach, time_limit, clients: Mutex::default() }
    }

    /// Posts once.
    ///
    /// # Errors
    /// When no answer began within the time limit, for whatever reason.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<PostAnswer, PostError> {
        let url = Url::parse(url).map_err(|_| PostError::Address("its URL cannot be read"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(PostError::Address("its URL is neither http nor https"));
        }
        if !self.reach.allows_host(&url) {
            return Err(PostError::Address(OUT_OF_REACH));
        }
        let address = as_sent(&url).ok_or(PostError::Address("its URL is too long"))?;
        let headers =
            header_map(headers).ok_or(PostError::Address("a header has characters of no header"))?;
        let client = self.client_to(&url)?;
        let request = Request { method: Method::POST, address, headers, body };
        let answered = tokio::time::timeout(self.time_limit, client.begin(request)).await;
        let response = answered.map_err(|_| PostError::TimedOut)?.map_err(no_answer)?;
        let (head, body) = response.into_parts();
        // What it says is known; what comes after it may be lost.
        let _ = tokio::time::timeout(BODY_TIME, discard(body)).await;
        Ok(PostAnswer { status: head.status.as_u16(), retry_after: retry_after(&head.headers) })
    }

    fn client_to(&self, url: &Url) -> Result<Arc<HttpClient>, PostError> {
        let failed = |error: &dyn std::error::Error| PostError::NotConnected(error.to_string());
        let proxy = proxy_to(url).map_err(|error| failed(&error))?;
        let way = Way {
            secure: url.scheme() == "https",
            proxy: proxy.as_ref().map(|proxy| proxy.uri().to_string()),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&way) {
            return Ok(Arc::clone(client));
        }
        let tls = Arc::new(tls_config(way.secure).map_err(|error| failed(&error))?);
        let client = Arc::new(HttpClient::by(&tls, proxy.as_ref(), self.reach));
        clients.insert(way, Arc::clone(&client));
        Ok(client)
    }
}

fn header_map(headers: &[(&'static str, String)]) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).ok()?);
    }
    Some(map)
}

fn no_answer(error: NoAnswer) -> PostError {
    match error {
        NoAnswer::NotConnected(words) if words == OUT_OF_REACH => PostError::Address(OUT_OF_REACH),
        NoAnswer::NotConnected(words) => PostError::NotConnected(words),
        NoAnswer::Broken(words) => PostError::Broken(words),
    }
}

async fn discard(mut body: Incoming) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > BODY_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::double::{Double, Reply, answer, refusing_url};

    const LIMIT: Duration = Duration::from_secs(30);

    async fn post(url: &str) -> Result<PostAnswer, PostError> {
        let headers = [("webhook-id", "evt_1".to_owned())];
        Poster::new(true, LIMIT).post(url, &headers, Bytes::from_static(b"{}")).await
    }

    #[tokio::test]
    async fn what_is_posted_arrives_as_json_with_its_headers_and_the_answer_is_a_status() {
        let mut receiver =
            Double::playing([Reply::Bytes(answer(503, &[("Retry-After", "7")], "busy"))]).await;
        let answered = post(&format!("{}/hooks?a=b", receiver.base_url())).await;
        let retry_after = Some(Duration::from_secs(7));
        assert_eq!(answered, Ok(PostAnswer { status: 503, retry_after }));
        let request = receiver.request().await;
        assert_eq!(request.request_line, "POST /hooks?a=b HTTP/1.1");
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("webhook-id"), Some("evt_1"));
        assert_eq!(request.body, "{}");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_like_others() {
        let mut elsewhere = Double::playing([]).await;
        let location = elsewhere.base_url();
        let receiver = Double::playing([Reply::Bytes(answer(307, &[("Location", &location)], ""))]).await;
        assert_eq!(post(&receiver.base_url()).await.map(|answer| answer.status), Ok(307));
        assert_eq!(elsewhere.further_requests().len(), 0);
    }

    #[tokio::test]
    async fn a_body_without_end_does_not_change_what_was_answered() {
        let head = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n".to_owned();
        for reply in [Reply::Endless(head.clone()), Reply::Silence(head)] {
            let receiver = Double::playing([reply]).await;
            assert_eq!(post(&receiver.base_url()).await.map(|answer| answer.status), Ok(200));
        }
    }

    #[tokio::test]
    async fn without_an_answer_the_reason_is_told() {
        assert!(matches!(post(&refusing_url().await).await, Err(PostError::NotConnected(_))));
        let receiver = Double::playing([Reply::Reset]).await;
        assert!(matches!(post(&receiver.base_url()).await, Err(PostError::Broken(_))));
        let receiver = Double::playing([Reply::Silence(String::new())]).await;
        let hasty = Poster::new(true, Duration::from_millis(1));
        assert_eq!(hasty.post(&receiver.base_url(), &[], Bytes::new()).await, Err(PostError::TimedOut));
        for url in ["", "nowhere", "ftp://hooks.example.com/", "http://169.254.169.254/latest/meta-data/"] {
            assert!(matches!(post(url).await, Err(PostError::Address(_))), "{url:?}");
        }
    }

    #[tokio::test]
    async fn where_private_addresses_are_out_of_reach_neither_an_address_nor_a_name_leads_there() {
        let mut receiver = Double::playing([]).await;
        let public = Poster::new(false, LIMIT);
        let by_name = receiver.base_url().replace("127.0.0.1", "localhost");
        for url in [receiver.base_url(), by_name] {
            let answered = public.post(&url, &[], Bytes::new()).await;
            assert_eq!(answered, Err(PostError::Address(OUT_OF_REACH)), "{url}");
        }
        assert_eq!(receiver.further_requests().len(), 0);
    }
}
