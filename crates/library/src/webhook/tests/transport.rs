//! Requests to webhooks over loopback: what arrives, and what is told without an answer.

use super::*;
use crate::gateway::double::{Double, REFUSING_URL, Reply, answer};

const LIMIT: Duration = Duration::from_secs(30);

async fn post(url: &str) -> Posted {
    post_by(&network_transport(true, LIMIT), url).await
}

async fn post_by(transport: &Transport, url: &str) -> Posted {
    let mut request = Request::new(Method::POST, url.parse().expect("a URL"));
    *request.body_mut() = Some("{}".into());
    transport(request).await
}

#[tokio::test]
async fn a_post_arrives_and_returns_the_status() {
    let mut receiver = Double::playing([Reply::Bytes(answer(503, &[("Retry-After", "7")], "busy"))]).await;
    let answered = post(&format!("{}/hooks?a=b", receiver.base_url())).await;
    let retry_after = Some(Duration::from_secs(7));
    assert_eq!(answered, Posted { status: Some(503), detail: "busy".to_owned(), retry_after });
    let request = receiver.request().await;
    assert_eq!(request.request_line, "POST /hooks?a=b HTTP/1.1");
    assert_eq!(request.body, "{}");
}

#[tokio::test]
async fn without_an_answer_the_reason_is_told() {
    let fails = |posted: Posted, why: &str| {
        assert!(posted.status.is_none() && posted.detail.contains(why), "{posted:?}");
    };
    fails(post(REFUSING_URL).await, "Connection refused");
    let receiver = Double::playing([Reply::Reset]).await;
    fails(post(&receiver.base_url()).await, "");
    let receiver = Double::playing([Reply::Silence(String::new())]).await;
    let hasty = network_transport(true, Duration::from_millis(1));
    fails(post_by(&hasty, &receiver.base_url()).await, "no answer in time");
    fails(post("http://169.254.169.254/latest/meta-data/").await, "to this address");
}

#[tokio::test]
async fn neither_an_address_nor_a_name_leads_to_a_forbidden_private_address() {
    let mut receiver = Double::playing([]).await;
    let public = network_transport(false, LIMIT);
    let by_name = receiver.base_url().replace("127.0.0.1", "localhost");
    for url in [receiver.base_url(), by_name] {
        let refused = "events are not sent to this address: see \"Allowed URLs\" in docs/reference/events.md";
        let expected = Posted::not_answered(refused);
        assert_eq!(post_by(&public, &url).await, expected, "{url}");
    }
    assert_eq!(receiver.further_requests().len(), 0);
}
