//! Simulator mode: no message leaves the machine, and a client can read them all; and its page, as a browser without
//! JavaScript submits the form.

use hyper::Method;
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
    let setup = V2::account(Setup::new().config("send-budget", "2s"));
    let server = setup.start().await;
    let (client, v2) = (&server.client, V2::of(&server.client));
    let service = v2.service(&[]).await;
    for (number, status, reason, on_v2) in [
        ("+15005550001", 400, "does not exist", (400, "60200")),
        ("+15005550002", 400, "cannot be reached", (403, "60205")),
        ("+15005550003", 500, "", (403, "60605")),
        ("+15005550004", 400, "asked the provider for no messages", (403, "21610")),
        ("+15005550009", 400, "cannot be reached", (403, "60205")),
        ("+15005550011", 500, "", (502, "20502")),
    ] {
        let answer = client.send(number).await;
        assert_eq!(answer.status(), status, "{number}: {}", answer.text());
        assert!(answer.header("x-onceward-reason").contains(reason), "{number}: {answer:?}");
        let (status, code) = status_and_code(&v2.begins(&service, number).await);
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

const NUMBER: &str = "+14155550123";

#[tokio::test]
async fn a_person_sends_a_code_reads_it_below_the_form_and_is_verified() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let start = open(client, "/").await;
    assert!(start.text().contains("href=\"/inbox\"") && !start.text().contains("<form"), "{}", start.text());
    let page = open(client, "/inbox").await;
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    page.says(["action=\"/inbox\"", "<label for=\"number\">", "value=\"+14155550123\""]);
    page.says(["Simulator", "viewport", "nothing leaves this machine", "No message yet"]);

    let sent = submit(client, &[("number", "+1 415-555-0124")]).await;
    assert_eq!((sent.status(), sent.header("location")), (303, "/inbox"));
    let code = code_in(&inbox(client, "+14155550124").await[0]);
    let page = open(client, sent.header("location")).await.text();
    page.says([&*format!(">{code}</span>"), "value=\"+14155550124\"", "expires in"]);

    // Enter checks the code that is there, and sends one where there is none.
    let entered = [("number", "+14155550124"), ("code", code.as_str()), ("action", "enter")];
    let checked = submit(client, &entered).await;
    assert_eq!((checked.status(), checked.header("location")), (303, "/inbox?verified=yes"));
    let shown = || async { open(client, checked.header("location")).await.text() };
    let page = until("verified", shown, |page| page.contains("badge end\">used<")).await;
    page.says(["the number is verified"]);
}

#[tokio::test]
async fn wrong_codes_are_refused_in_a_persons_words_and_lock_as_in_the_api() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let refused = async |code: &str| {
        let page = check(client, NUMBER, code).await.expects_status(400);
        let words = "The phone number and the SMS code doesn&#39;t match.";
        page.says(["role=\"alert\"", words]);
    };
    submit(client, &[("number", NUMBER)]).await;
    let code = code_in(&inbox(client, NUMBER).await[0]);
    refused(&wrong(&code)).await;
    refused("not a code").await;
    let spaced = format!(" {} {}", &code[..3], &code[3..]);
    let right = check(client, NUMBER, &spaced).await;
    assert_eq!(right.status(), 303, "spaces do not matter: {}", right.text());
    refused(&code).await;

    submit(client, &[("number", NUMBER)]).await;
    let code = code_in(&inbox(client, NUMBER).await[0]);
    for _ in 0..4 {
        assert_eq!(check(client, NUMBER, &wrong(&code)).await.status(), 400);
    }
    let locked = "This phone number is locked out after too many wrong codes. Try again in 30 minutes.";
    for page in [check(client, NUMBER, &wrong(&code)).await, submit(client, &[("number", NUMBER)]).await] {
        assert_eq!(page.status(), 403);
        assert!(page.text().contains(locked), "{}", page.text());
    }
    assert_eq!(client.send(NUMBER).await.status(), 403, "one count for page and API");
}

#[tokio::test]
async fn a_second_send_while_the_first_is_under_way_is_429_where_one_is_allowed() {
    let setup = Setup::new().config("bounds.commands-per-number", 1).config("send-budget", "8s");
    let server = setup.start().await;
    let silent = [("number", "+15005550011")];
    let both = tokio::join!(submit(&server.client, &silent), submit(&server.client, &silent));
    let (first, second) = if both.0.status() == 429 { (both.1, both.0) } else { both };
    assert_eq!((first.status(), second.status()), (502, 429), "{} {}", first.text(), second.text());
    assert!(first.text().contains("the provider refused it or did not answer in time"), "{}", first.text());
    second.expects_retry_after();
    let words = "Too many requests for this number are in progress. Try again shortly.";
    assert!(second.text().contains(words) && second.text().contains("role=\"alert\""), "{}", second.text());
}

#[tokio::test]
async fn what_is_no_number_is_refused_and_stays_in_the_form() {
    let server = Setup::new().start().await;
    for (number, words) in [
        ("anna", "This is not a phone number."),
        ("", "This is not a phone number."),
        ("\"><script>alert(1)</script>", "This is not a phone number."),
        ("+1415", "No number of that country has this length."),
    ] {
        let page = submit(&server.client, &[("number", number)]).await;
        assert_eq!(page.status(), 400, "{number}");
        assert!(page.text().contains(words), "{number}: {}", page.text());
        assert!(!page.text().contains("<script>alert"), "{}", page.text());
    }
    submit(&server.client, &[("number", "anna")]).await.says(["value=\"anna\""]);
    assert!(inbox(&server.client, NUMBER).await.is_empty());
}

#[tokio::test]
async fn with_a_real_gateway_no_page_has_a_form_and_nothing_is_sent() {
    let world = World::new().await;
    let page = open(&world, "/").await;
    assert!(!page.text().contains("<form") && page.text().contains("href=\"/docs\""), "{}", page.text());
    assert!(page.header("content-security-policy").contains("form-action 'none'"));
    assert_eq!(submit(&world, &[("number", NUMBER)]).await.status(), 404);
    for path in ["/inbox", "/inbox/messages", "/inbox/messages?to=%2B14155550123"] {
        assert_eq!(world.get(path).await.status(), 404, "{path}");
    }
    assert!(world.twilio().received().is_empty());

    let mada = json!({"username": "u", "password": "p", "url": "127.0.0.1:9", "source_name": "s"});
    let mixed = Setup::new().config("otp-sms-provider", "Mada:+49;Simulator");
    let server = mixed.config("sms", json!({ "mada": mada })).start().await;
    let page = open(&server.client, "/inbox").await.text();
    assert!(!page.contains("method=\"post\"") && page.contains("those of other gateways leave"), "{page}");
    assert_eq!(submit(&server.client, &[("number", NUMBER)]).await.status(), 404);
}

#[tokio::test]
async fn the_form_needs_the_key_of_the_inbox_and_that_of_the_api() {
    let server = Setup::new().args(["--listen", "0.0.0.0:0"]).config("simulator-in-production", true);
    let setup = V2::account(server);
    let server = setup.clone().start().await;
    let form = [("number", NUMBER)];
    let refused = submit(&server.client, &form).await.expects_status(401);
    assert!(refused.header("www-authenticate").starts_with("Basic"), "a browser asks its user");
    for (scopes, status) in [("admin", 403), ("verify", 403), ("admin,verify", 303)] {
        let authorization = authorization(&setup.new_key(&["--scope", scopes]).await);
        let headers = [("authorization", authorization.as_str())];
        let answer = server.client.post_form("/inbox", &headers, &form).await;
        assert_eq!(answer.status(), status, "{scopes}");
        let page = server.client.get_with("/inbox", &headers).await.text();
        assert_eq!(page.contains("curl -u KEY:SECRET http"), scopes.contains("admin"), "{page}");
    }
    let headers = [("authorization", &*basic(OWN_ACCOUNT, OWN_TOKEN))];
    server.client.post_form("/inbox", &headers, &form).await.expects_status(303);
}

#[tokio::test]
async fn on_loopback_the_form_needs_a_key_where_the_api_does() {
    let setup = V2::account(Setup::new());
    let server = setup.start().await;
    setup.new_key(&["--service", "default"]).await;
    assert_eq!(open(&server.client, "/inbox").await.status(), 200);
    let refused = submit(&server.client, &[("number", NUMBER)]).await.expects_status(401);
    assert!(refused.header("www-authenticate").starts_with("Basic"), "a browser asks its user");
    assert!(inbox(&server.client, NUMBER).await.is_empty());
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_submit_the_form_nor_read_the_page() {
    let server = Setup::new().config("cors-origins", json!(["https://shop.example"])).start().await;
    let client = &server.client;
    submit(client, &[("number", NUMBER)]).await;
    let code = code_in(&inbox(client, NUMBER).await[0]);
    let form = [("number", NUMBER), ("code", &code), ("action", "check")];
    let cross_site = [("sec-fetch-site", "cross-site"), ("origin", "https://shop.example")];
    // Old browsers say the origin only.
    for headers in [&cross_site[..], &[("origin", "http://evil.example")]] {
        client.post_form("/inbox", headers, &form).await.expects_status(403);
    }
    let headers = [("accept", "text/html"), ("origin", "https://shop.example")];
    let page = client.get_with("/inbox", &headers).await;
    assert_eq!(page.header("access-control-allow-origin"), "", "the page has a code in it");
    // A host name that was made to lead here.
    let headers = [("host", "evil.example"), ("accept", "text/html")];
    for (method, form) in [(Method::GET, ""), (Method::POST, "number=%2B14155550124")] {
        let refused = client.request_with(method, "/inbox", &headers, form).await.expects_status(403);
        assert!(!refused.text().contains(&code), "{}", refused.text());
    }
    assert!(inbox(client, "+14155550124").await.is_empty());
}

async fn open(client: &Client, path: &str) -> HttpResponse {
    client.get_with(path, &[("accept", "text/html,*/*;q=0.8")]).await
}

async fn submit(client: &Client, form: &[(&str, &str)]) -> HttpResponse {
    client.post_form("/inbox", &[("accept", "text/html")], form).await
}

async fn check(client: &Client, number: &str, code: &str) -> HttpResponse {
    submit(client, &[("number", number), ("code", code), ("action", "check")]).await
}
