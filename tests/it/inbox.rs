//! Simulator mode: no message leaves the machine, and a client can read them all.

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::prelude::*;

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
    assert_eq!(messages[0]["text"], format!("onceward: your code is {code}. It is valid for 10 min."));

    client.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
    client.verify(&number, &code).await.expects(verified(&number));

    let answer = client.send_code(&number).await;
    let id = inbox(client, &number).await[0]["id"].as_str().expect("an id").to_owned();
    answer.expects_message(200, &format!("Message sent with id: {id}"));
}

#[tokio::test]
async fn the_inbox_says_which_codes_are_used_and_replaced_and_of_which_service() {
    let server = V2::account(Setup::new()).start().await;
    let (client, v2) = (&server.client, V2::of(&server.client));
    let number = Numbers::default().next();
    let statuses = async || -> Vec<_> {
        inbox(client, &number).await.iter().map(|m| (m["service"].clone(), m["status"].clone())).collect()
    };
    let default = |status: &str| (json!("onceward"), json!(status));
    client.send(&number).await.expects(sent(&number, 5));
    assert_eq!(statuses().await, [default("live")]);
    client.send(&number).await.expects(sent(&number, 5));
    assert_eq!(statuses().await, [default("live"), default("replaced")]);

    let service = v2.service(&[]).await;
    assert_eq!(v2.begins(&service, &number).await.status(), 201);
    let acme = (json!("Owl Bank"), json!("live"));
    assert_eq!(statuses().await, [acme.clone(), default("live"), default("replaced")], "another service");
    let code = code_in(&inbox(client, &number).await[1]);
    client.verify(&number, &code).await.expects(verified(&number));
    until("used", &statuses, |all| *all == [acme.clone(), default("used"), default("replaced")]).await;

    let page = client.get("/inbox").await.text();
    page.says(["badge end\">used<", "badge end\">replaced<", "sms · service Owl Bank", "data-until="]);
    let found = client.get("/inbox?q=owl").await.text();
    assert!(found.contains("1 message,") && !found.contains(&code), "{found}");
}

#[tokio::test]
async fn the_inbox_says_which_codes_are_canceled_and_locked_out() {
    let server = V2::account(Setup::new()).start().await;
    let (client, v2, numbers) = (&server.client, V2::of(&server.client), Numbers::default());
    let becomes = async |number: &str, status: &str| {
        let of_number = async || inbox(client, number).await[0]["status"].clone();
        until(status, of_number, |now| *now == status).await;
    };
    let service = v2.service(&[]).await;
    let canceled = numbers.next();
    let sid = sid(&v2.begins(&service, &canceled).await);
    becomes(&canceled, "live").await;
    let path = format!("{service}/Verifications/{sid}");
    assert_eq!(v2.post(&path, &[("Status", "canceled")]).await.status(), 200);
    becomes(&canceled, "canceled").await;

    // By the compatible routes wrong codes lock the number; in a service they use up the verification.
    let locked = numbers.next();
    client.send(&locked).await.expects(sent(&locked, 5));
    let code = wrong(&code_in(&inbox(client, &locked).await[0]));
    for _ in 0..5 {
        becomes(&locked, "live").await;
        client.verify(&locked, &code).await;
    }
    becomes(&locked, "locked out").await;
    let spent = numbers.next();
    v2.begins(&service, &spent).await;
    let code = wrong(&code_in(&inbox(client, &spent).await[0]));
    for _ in 0..5 {
        becomes(&spent, "live").await;
        v2.checks_number(&service, &spent, &code).await;
    }
    becomes(&spent, "locked out").await;
    let page = client.get("/inbox?q=locked+out").await.text();
    assert!(page.contains("2 messages,") && page.contains("badge end\">locked out<"), "{page}");
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
    server.signal(Signal::TERM);
    for reader in &mut readers {
        let mut rest = Vec::new();
        soon("the end", reader.read_to_end(&mut rest)).await.expect("an orderly end");
    }
    assert!(server.ended().await.status.success(), "open pages do not hold up a stop");
}

#[tokio::test]
async fn a_reader_that_takes_no_events_delays_no_other_reader() {
    let server = Setup::new().start().await;
    let mut readers = Vec::new();
    for _ in 0..64 {
        let mut reader = events(&server.client).await;
        until_text(&mut reader, "200 OK").await;
        readers.push(reader);
    }
    server.client.get("/inbox/events").await.expects_retry_after();
    let numbers = Numbers::default();
    for _ in 0..50 {
        let number = numbers.next();
        server.client.send(&number).await.expects(sent(&number, 5));
    }
    drop(readers);
    let next = || async {
        let mut reader = events(&server.client).await;
        let mut first = [0; 12];
        reader.read_exact(&mut first).await.expect("an answer");
        String::from_utf8_lossy(&first).into_owned()
    };
    until("a place", next, |first| first == "HTTP/1.1 200").await;
}

#[tokio::test]
async fn numbers_with_faults_fail_as_the_documentation_says() {
    let setup = V2::account(Setup::new().config("send-budget", "1s"));
    let server = setup.start().await;
    let (client, v2) = (&server.client, V2::of(&server.client));
    let service = v2.service(&[]).await;
    for (number, status, reason, on_v2) in [
        ("+15005550001", 400, "does not exist", (400, "60200")),
        ("+15005550002", 400, "cannot be reached", (403, "60205")),
        ("+15005550003", 500, "", (403, "60605")),
        ("+15005550004", 400, "asked the provider for no messages", (400, "60200")),
        ("+15005550009", 400, "cannot be reached", (403, "60205")),
        ("+15005550011", 500, "", (502, "20502")),
    ] {
        let answer = client.send(number).await;
        assert_eq!(answer.status(), status, "{number}: {}", answer.text());
        assert!(answer.header("x-onceward-reason").contains(reason), "{number}: {answer:?}");
        let (status, code) = told(&v2.begins(&service, number).await);
        assert_eq!((status, code.as_str()), on_v2, "{number}");
        assert!(inbox(client, number).await.is_empty(), "{number}");
    }
    for _ in 0..6 {
        assert_eq!(client.send("+15005550011").await.status(), 500);
    }
    client.send("+14155550123").await.expects(sent("+14155550123", 5));
    assert_eq!(client.get("/readyz").await.status(), 200, "single numbers do not stop the simulator");
}

#[tokio::test]
async fn a_late_message_comes_after_its_answer_and_its_code_still_works() {
    let server = Setup::new().start().await;
    server.client.send("+15005550012").await.expects(sent("+15005550012", 5));
    assert!(inbox(&server.client, "+15005550012").await.is_empty());
    let arrived = until("the message", || inbox(&server.client, "+15005550012"), |all| !all.is_empty()).await;
    let code = code_in(&arrived[0]);
    server.client.verify("+15005550012", &code).await.expects(verified("+15005550012"));
}

#[tokio::test]
async fn an_undelivered_message_is_accepted_and_its_attempt_says_so() {
    let server = V2::account(Setup::new()).start().await;
    let v2 = V2::of(&server.client);
    let service = v2.service(&[]).await;
    v2.begins(&service, "+15005550013").await.expects_status(201);
    let attempt = || async { v2.get("/Attempts").await.json()["attempts"][0]["channel_data"].clone() };
    let data = until("the report", attempt, |data| !data["error_code"].is_null()).await;
    assert_eq!((&data["message_status"], &data["error_code"]), (&json!("failed"), &json!("30003")), "{data}");
    assert!(inbox(&server.client, "+15005550013").await.is_empty());
}

async fn events(client: &Client) -> TcpStream {
    let mut stream = client.connection().await;
    let request = b"GET /inbox/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    stream.write_all(request).await.expect("written");
    stream
}
