//! Simulator mode: no message leaves the machine, and a client can read them all.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::documented::{incorrect, sent, verified};
use crate::support::{Client, Numbers, Setup, World, soon, wrong};

#[tokio::test]
async fn without_a_provider_a_code_is_read_in_the_inbox_and_verifies() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let number = Numbers::default().next();
    client.send(&number).await.expects(sent(&number, 5));

    let messages = inbox(client, &number).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["to"], number.as_str());
    let code = code_in(&messages[0]);
    assert_eq!(messages[0]["text"], format!("OTP message is {code}"));

    client.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
    client.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn the_tutorials_message_id_is_the_one_in_the_inbox() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let number = Numbers::default().next();
    let answer = client.send_code(&number).await;
    let messages = inbox(client, &number).await;
    let id = messages[0]["id"].as_str().expect("an id");
    answer.expects_message(200, &format!("Message sent with id: {id}"));
}

#[tokio::test]
async fn the_newest_message_comes_first_and_each_number_sees_its_own() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let numbers = Numbers::default();
    let (one, two) = (numbers.next(), numbers.next());
    for number in [&one, &two, &one] {
        client.send(number).await.expects(sent(number, 5));
    }
    let of_one = inbox(client, &one).await;
    assert_eq!(of_one.len(), 2);
    assert!(of_one.iter().all(|message| message["to"] == one.as_str()));
    client.verify(&one, &code_in(&of_one[0])).await.expects(verified(&one));

    let all = client.get("/inbox/messages").await.json();
    let to: Vec<&Value> = all["messages"].as_array().expect("a list").iter().map(|m| &m["to"]).collect();
    assert_eq!(to, [&json!(one), &json!(two), &json!(one)]);
}

#[tokio::test]
async fn an_unknown_number_has_an_empty_inbox() {
    let server = Setup::new().start().await;
    assert!(inbox(&server.client, "+14155559999").await.is_empty());
}

#[tokio::test]
async fn the_inbox_page_is_html_that_says_it_is_a_simulator() {
    let server = Setup::new().start().await;
    let page = server.client.get("/inbox").await;
    assert_eq!(page.status(), 200);
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    assert!(page.text().to_lowercase().contains("simulator"));
    assert!(page.text().contains("viewport"), "readable on a phone");
}

#[tokio::test]
async fn a_page_whose_host_name_was_made_to_lead_here_cannot_read_codes() {
    let server = Setup::new().start().await;
    for (host, status) in [("localhost", "200"), ("evil.example", "403")] {
        let mut stream = server.client.connection().await;
        let request = format!("GET /inbox/messages HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        soon("the end", stream.read_to_string(&mut answer)).await.expect("text");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
        assert_eq!(answer.matches("cache-control: no-store").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_server_with_a_provider_has_no_inbox() {
    let world = World::new().await;
    let (number, _) = world.number_with_code().await;
    for path in ["/inbox", "/inbox/messages", &format!("/inbox/messages?to={}", escaped(&number))] {
        assert_eq!(world.get(path).await.status(), 404, "{path}");
    }
}

/// The messages to this number, the newest first.
pub async fn inbox(client: &Client, number: &str) -> Vec<Value> {
    let answer = client.get(&format!("/inbox/messages?to={}", escaped(number))).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()["messages"].as_array().expect("a list").clone()
}

pub fn code_in(message: &Value) -> String {
    let text = message["text"].as_str().expect("a text");
    text.split_whitespace().last().expect("a word").to_owned()
}

fn escaped(number: &str) -> String {
    number.replace('+', "%2B")
}
