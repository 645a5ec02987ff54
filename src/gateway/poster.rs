//! Requests to the addresses of webhooks, which are named over the API: by a caller who may do that, but not to addresses
//! that only this machine can reach.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response};
use url::Url;

use super::classify::retry_after;
use super::client::{
    ClientError, HttpClient, NoAnswer, OUT_OF_REACH, proxy_to, trusting_nobody, trusting_the_platform,
};
use super::egress::EgressPolicy;
use super::provider::request;

/// The most of an answer's body that is read, in bytes, so that its connection can be used again.
const BODY_MAX: usize = 16 * 1024;

/// The longest time that is spent on that.
const BODY_TIME: Duration = Duration::from_secs(1);

/// Posts JSON to any address that the egress policy allows. Follows no redirect, and repeats nothing.
pub struct Poster {
    egress: EgressPolicy,
    time_limit: Duration,
    /// Made when they are first needed.
    clients: Mutex<HashMap<Way, Arc<HttpClient>>>,
}

/// Which client a URL needs. The environment names at most one proxy.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Plain,
    Tls,
    Proxy,
}

/// What was answered. The body is discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The pause that the receiver asks for.
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
        let egress = if private { EgressPolicy::PrivateToo } else { EgressPolicy::PublicOnly };
        Self { egress, time_limit, clients: Mutex::default() }
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
        if !self.egress.allows_host(&url) {
            return Err(PostError::Address(OUT_OF_REACH));
        }
        let headers =
            header_map(headers).ok_or(PostError::Address("a header has characters of no header"))?;
        let client = self.client_to(&url).map_err(|error| PostError::NotConnected(error.to_string()))?;
        let request = request(Method::POST, url, &headers, body);
        let answered = tokio::time::timeout(self.time_limit, client.begin(request)).await;
        let mut response = answered.map_err(|_| PostError::TimedOut)?.map_err(no_answer)?;
        let answer =
            PostAnswer { status: response.status().as_u16(), retry_after: retry_after(response.headers()) };
        // The status is known; the rest may be lost.
        let _ = tokio::time::timeout(BODY_TIME, discard(&mut response)).await;
        Ok(answer)
    }

    fn client_to(&self, url: &Url) -> Result<Arc<HttpClient>, ClientError> {
        let proxy = proxy_to(url)?;
        let way = match (&proxy, url.scheme()) {
            (Some(_), _) => Way::Proxy,
            (None, "https") => Way::Tls,
            (None, _) => Way::Plain,
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&way) {
            return Ok(Arc::clone(client));
        }
        let tls = if way == Way::Plain { trusting_nobody()? } else { trusting_the_platform()? };
        let client = Arc::new(HttpClient::new(tls, proxy.as_ref(), self.egress)?);
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
        NoAnswer::Unsendable => PostError::Address("its URL is too long"),
        NoAnswer::NotConnected(words) if words == OUT_OF_REACH => PostError::Address(OUT_OF_REACH),
        NoAnswer::NotConnected(words) => PostError::NotConnected(words),
        NoAnswer::Broken(words) => PostError::Broken(words),
    }
}

async fn discard(response: &mut Response) {
    let mut read = 0;
    while let Ok(Some(part)) = response.chunk().await {
        read += part.len();
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
