//! Simulator mode: no message leaves the machine, and a client can read them all; and its page, as a browser without
//! JavaScript submits the form.

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::prelude::*;

#[tokio::test]
async fn a_start_with_a_provider_says_why_there_is_no_inbox() {
    let world = World::new().await;
    let missing = world.get("/inbox").await;
    assert_eq!(missing.status(), 404);
    let log = world.server.stop().await.output;
    assert!(log.contains("no inbox page") && log.contains("ONCEWARD_OTP_SMS_PROVIDER=Simulator"), "{log}");
}

#[tokio::test]
async fn beside_a_real_gateway_the_inbox_has_no_form_and_sends_nothing() {
    let mada = json!({"username": "u", "password": "p", "url": "127.0.0.1:9", "source_name": "s"});
    let mixed = Setup::new().config("otp-sms-provider", "Mada:+49;Simulator");
    let server = mixed.config("sms", json!({ "mada": mada })).start().await;
    let page = open(&server.client, "/inbox").await.text();
    assert!(!page.contains("method=\"post\"") && page.contains("those of other gateways leave"), "{page}");
    submit(&server.client, &[("number", "+14155550123")]).await.expects_status(404);
}

#[tokio::test]
async fn an_event_tells_each_page_that_a_message_has_come() {
    let server = Setup::new().start().await;
    let mut readers = [events(&server.client).await, events(&server.client).await];
    for reader in &mut readers {
        until_text(reader, "retry: 1000").await;
    }
    server.client.send("+14155550123").await.expects(sent("+14155550123", 5));
    for reader in &mut readers {
        until_text(reader, "data: changed").await;
    }
    let code = code_in(&inbox(&server.client, "+14155550123").await[0]);
    server.client.verify("+14155550123", &code).await.expects(verified("+14155550123"));
    for reader in &mut readers {
        until_text(reader, "data: changed").await;
    }
    // A person who tries it stops it from the keyboard.
    server.signal(Signal::INT);
    for reader in &mut readers {
        let mut rest = Vec::new();
        soon("the end", reader.read_to_end(&mut rest)).await.expect("an orderly end");
    }
    assert!(server.ended().await.status.success(), "open pages do not hold up a stop");
}

async fn events(client: &Client) -> TcpStream {
    let mut stream = client.connection().await;
    let request = b"GET /inbox/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    stream.write_all(request).await.expect("written");
    stream
}

#[tokio::test]
async fn a_person_sends_a_code_reads_it_below_the_form_and_is_verified() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let start = open(client, "/").await;
    start.says(["href=\"/inbox\"", "<form class=\"card\" method=\"post\" action=\"/inbox\">"]);
    let page = open(client, "/inbox").await;
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    page.says(["action=\"/inbox\"", "<label for=\"number\">", "value=\"+14155550123\""]);
    page.says(["Simulator", "viewport", "nothing leaves this machine", "No message yet"]);
    page.says([format!("SERVICE=http://{}/v2/Services/VA", client.address())]);

    let sent = submit(client, &[("number", "+1 415-555-0124")]).await;
    assert_eq!((sent.status(), sent.header("location")), (303, "/inbox#messages"));
    let code = code_in(&inbox(client, "+14155550124").await[0]);
    let page = open(client, "/inbox").await.text();
    page.says([&*format!(">{code}</span>"), "value=\"+14155550124\"", "expires in"]);

    // Enter checks the code that is there, and sends one where there is none.
    let entered = [("number", "+14155550124"), ("code", code.as_str()), ("action", "enter")];
    let checked = submit(client, &entered).await;
    assert_eq!((checked.status(), checked.header("location")), (303, "/inbox?verified=yes"));
    let shown = || async { open(client, checked.header("location")).await.text() };
    let page = until("verified", shown, |page| page.contains("badge end\">used<")).await;
    page.says(["the number is verified"]);
}

async fn open(client: &Client, path: &str) -> HttpResponse {
    client.get_with(path, &[("accept", "text/html,*/*;q=0.8")]).await
}

async fn submit(client: &Client, form: &[(&str, &str)]) -> HttpResponse {
    client.post_form("/inbox", &[("accept", "text/html")], form).await
}
