//! The start page: its forms as a browser without JavaScript submits them.

use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::inbox::{code_in, inbox};
use crate::support::{
    Client, HttpResponse, OWN_ACCOUNT, OWN_TOKEN, Setup, V2, World, basic, soon, until, wrong,
};

const NUMBER: &str = "+14155550123";

#[tokio::test]
async fn a_person_sends_a_code_reads_it_beside_the_form_and_is_verified() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let page = open(client, "/").await;
    for part in [
        "action=\"/try/send\"",
        "<label for=\"number\">",
        "value=\"+14155550123\"",
        "nothing leaves this machine",
        "The newest message appears here",
    ] {
        assert!(page.text().contains(part), "no {part:?} in {}", page.text());
    }
    assert!(!page.text().contains("action=\"/try/check\""), "nothing to check yet");

    let sent = submit(client, "/try/send", &[("number", "+1 415-555-0123")]).await;
    assert_eq!((sent.status(), sent.header("location")), (303, "/?to=%2B14155550123"));
    let code = code_in(&inbox(client, NUMBER).await[0]);
    let page = open(client, sent.header("location")).await.text();
    for part in [format!(">{code}</span>"), "value=\"+14155550123\"".to_owned(), "expires in".to_owned()] {
        assert!(page.contains(&part), "no {part:?} in {page}");
    }

    let checked = submit(client, "/try/check", &[("number", NUMBER), ("code", &code)]).await;
    assert_eq!((checked.status(), checked.header("location")), (303, "/?to=%2B14155550123"));
    let verified = || async { open(client, "/?to=%2B14155550123").await.text() };
    let page = until("verified", verified, |page| page.contains("+14155550123 is verified")).await;
    assert!(page.contains("badge end\">used<"), "{page}");
}

#[tokio::test]
async fn wrong_and_used_codes_are_refused_in_a_persons_words() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let check = async |code: &str, status: u16, words: &str| {
        let page = submit(client, "/try/check", &[("number", NUMBER), ("code", code)]).await;
        assert_eq!(page.status(), status, "{}", page.text());
        assert!(page.text().contains(words), "no {words:?} in {}", page.text());
        assert!(page.text().contains("role=\"alert\""), "it is read aloud");
    };
    submit(client, "/try/send", &[("number", NUMBER)]).await;
    let code = code_in(&inbox(client, NUMBER).await[0]);
    check("", 400, "Enter the code from the message.").await;
    check(&wrong(&code), 400, "That code is wrong. 4 attempts are left.").await;
    check("not a code", 400, "That code is wrong. 3 attempts are left.").await;
    let spaced = format!(" {} {}", &code[..3], &code[3..]);
    let right = submit(client, "/try/check", &[("number", NUMBER), ("code", &spaced)]).await;
    assert_eq!(right.status(), 303, "spaces do not matter: {}", right.text());
    check(&code, 400, "This number has no code that works: it was used or replaced").await;
}

#[tokio::test]
async fn the_forms_count_and_lock_as_the_api_does() {
    let server = Setup::new().start().await;
    let client = &server.client;
    submit(client, "/try/send", &[("number", NUMBER)]).await;
    let code = code_in(&inbox(client, NUMBER).await[0]);
    for left in (1..5).rev() {
        let page = submit(client, "/try/check", &[("number", NUMBER), ("code", &wrong(&code))]).await;
        assert!(page.text().contains(&format!(" {left} attempt")), "{}", page.text());
    }
    let locked = "This number is locked after too many wrong codes. Try again in 30 minutes.";
    for form in [&[("number", NUMBER), ("code", wrong(&code).as_str())][..], &[("number", NUMBER)]] {
        let path = if form.len() == 1 { "/try/send" } else { "/try/check" };
        let page = submit(client, path, form).await;
        assert_eq!(page.status(), 403, "{path}");
        assert!(page.text().contains(locked), "{path}: {}", page.text());
    }
    assert_eq!(client.send(NUMBER).await.status(), 403, "one count for page and API");
}

#[tokio::test]
async fn a_second_send_while_the_first_is_under_way_is_429_where_one_is_allowed() {
    let setup = Setup::new().config("max-commands-per-number", 1).config("send-budget", "1s");
    let server = setup.start().await;
    let silent = [("number", "+15005550011")];
    let both = tokio::join!(
        submit(&server.client, "/try/send", &silent),
        submit(&server.client, "/try/send", &silent)
    );
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
        let page = submit(&server.client, "/try/send", &[("number", number)]).await;
        assert_eq!(page.status(), 400, "{number}");
        assert!(page.text().contains(words), "{number}: {}", page.text());
        assert!(!page.text().contains("<script>alert"), "{}", page.text());
    }
    let page = submit(&server.client, "/try/send", &[("number", "anna")]).await;
    assert!(page.text().contains("value=\"anna\""), "{}", page.text());
    assert!(inbox(&server.client, NUMBER).await.is_empty());
}

#[tokio::test]
async fn with_a_real_gateway_the_page_has_no_form_and_sends_nothing() {
    let world = World::new().await;
    let page = open(&world, "/").await;
    assert!(!page.text().contains("<form") && page.text().contains("href=\"/docs\""), "{}", page.text());
    assert!(page.header("content-security-policy").contains("form-action 'none'"));
    for path in ["/try/send", "/try/check"] {
        assert_eq!(submit(&world, path, &[("number", NUMBER), ("code", "123456")]).await.status(), 404);
    }
    assert!(world.twilio.received().is_empty());

    let mixed = Setup::new().config("otp-sms-provider", "Mada:+49;Simulator").config(
        "sms",
        json!({"mada": {"username": "u", "password": "p", "url": "127.0.0.1:9", "source_name": "s"}}),
    );
    let server = mixed.start().await;
    let page = open(&server.client, "/").await.text();
    assert!(!page.contains("<form") && page.contains("those of other gateways leave this machine"), "{page}");
    assert_eq!(submit(&server.client, "/try/send", &[("number", NUMBER)]).await.status(), 404);
}

#[tokio::test]
async fn where_a_key_is_required_the_page_asks_to_sign_in() {
    let setup = V2::account(Setup::new());
    let server = setup.start().await;
    let made = setup.command(["keys", "create", "--service", "default"]).await;
    assert_eq!(made.status.code(), Some(0), "{}", made.output);
    asks_to_sign_in(&server.client, "an API key with the scope verify, for the service default").await;

    let setup = Setup::new()
        .args(["--listen", "0.0.0.0:0"])
        .config("allow-unauthenticated", true)
        .config("simulator-in-production", true);
    let server = V2::account(setup).start().await;
    assert_eq!(server.client.send(NUMBER).await.status(), 200);
    asks_to_sign_in(&server.client, "an API key for all services with the scope admin.").await;
}

#[tokio::test]
async fn the_key_that_the_page_names_signs_in_on_a_public_address() {
    let setup = Setup::new().args(["--listen", "0.0.0.0:0"]).config("simulator-in-production", true);
    let server = V2::account(setup.clone()).start().await;
    let page = open(&server.client, "/").await.text();
    assert!(page.contains("an API key for all services with the scopes admin and verify."), "{page}");
    for (scopes, status) in [("admin", 401), ("verify", 401), ("admin,verify", 303)] {
        let made = setup.command(["keys", "create", "--json", "--scope", scopes]).await;
        let key: serde_json::Value = serde_json::from_str(made.output.trim()).expect("a key");
        let credentials =
            basic(key["sid"].as_str().expect("a sid"), key["secret"].as_str().expect("a secret"));
        let headers = [("accept", "text/html"), ("authorization", credentials.as_str())];
        let signed_in = server.client.request_with(Method::GET, "/?sign-in", &headers, "").await;
        assert_eq!(signed_in.status(), status, "{scopes}");
        let page = server.client.request_with(Method::GET, "/", &headers, "").await.text();
        assert_eq!(page.contains("curl -u KEY:SECRET http"), status == 303, "{page}");
    }
}

async fn asks_to_sign_in(client: &Client, accepted: &str) {
    let page = open(client, "/").await.text();
    assert!(page.contains(accepted), "no {accepted:?} in {page}");
    assert!(page.contains("href=\"/?sign-in\"") && !page.contains("<form"), "{page}");
    assert!(!page.contains(NUMBER), "no message without credentials: {page}");
    let form = [("number", NUMBER), ("code", "123456")];
    for path in ["/try/send", "/try/check"] {
        let refused = submit(client, path, &form).await;
        assert_eq!(refused.status(), 401, "{path}");
        assert!(refused.header("www-authenticate").starts_with("Basic"), "a browser asks its user");
    }
    let asked = open(client, "/?sign-in").await;
    assert_eq!(asked.status(), 401);
    assert!(asked.header("www-authenticate").starts_with("Basic"));

    let (right, bad) = (basic(OWN_ACCOUNT, OWN_TOKEN), basic(OWN_ACCOUNT, "wrong"));
    for (credential, status) in [(&right, 303), (&bad, 401)] {
        let headers = [("accept", "text/html"), ("authorization", credential.as_str())];
        let signed_in = client.request_with(Method::GET, "/?sign-in", &headers, "").await;
        assert_eq!(signed_in.status(), status);
        let page = client.request_with(Method::GET, "/", &headers, "").await.text();
        assert_eq!(page.contains("action=\"/try/send\""), status == 303, "{page}");
    }
    let headers = [("authorization", right.as_str())];
    let sent = client.post_with("/try/send", &headers, encoded(&form)).await;
    assert_eq!(sent.status(), 303, "{}", sent.text());
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_submit_the_forms_nor_read_the_page() {
    let server = Setup::new().config("cors-origins", json!(["https://shop.example"])).start().await;
    let client = &server.client;
    submit(client, "/try/send", &[("number", NUMBER)]).await;
    let code = code_in(&inbox(client, NUMBER).await[0]);
    let form = encoded(&[("number", NUMBER), ("code", &code)]);
    for path in ["/try/send", "/try/check"] {
        let headers = [("sec-fetch-site", "cross-site"), ("origin", "https://shop.example")];
        assert_eq!(client.post_with(path, &headers, form.clone()).await.status(), 403, "{path}");
    }
    let headers = [("accept", "text/html"), ("origin", "https://shop.example")];
    let page = client.request_with(Method::GET, "/", &headers, "").await;
    assert_eq!(page.header("access-control-allow-origin"), "", "the page has a code in it");

    let page = raw(client, "GET / HTTP/1.1\r\nAccept: text/html", "").await;
    assert!(page.starts_with("HTTP/1.1 200 ") && !page.contains(&code), "{page}");
    let refused = raw(client, "POST /try/send HTTP/1.1", "number=%2B14155550123").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
}

/// The answer to a request under a host name that was made to lead here.
async fn raw(client: &Client, head: &str, body: &str) -> String {
    let mut stream = client.connection().await;
    let length = body.len();
    let request = format!(
        "{head}\r\nHost: evil.example\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    soon("the end", stream.read_to_string(&mut answer)).await.expect("text");
    answer
}

async fn open(client: &Client, path: &str) -> HttpResponse {
    client.request_with(Method::GET, path, &[("accept", "text/html,*/*;q=0.8")], "").await
}

#[tokio::test]
async fn the_forms_of_another_site_are_refused_in_old_browsers_too() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let form = [("number", NUMBER), ("code", "123456")];
    for path in ["/try/send", "/try/check"] {
        let origin =
            [("content-type", "application/x-www-form-urlencoded"), ("origin", "http://evil.example")];
        let refused = client.post_with(path, &origin, encoded(&form)).await;
        assert_eq!(refused.status(), 403, "{path}: {}", refused.text());
    }
    assert!(inbox(client, NUMBER).await.is_empty());
}

async fn submit(client: &Client, path: &str, form: &[(&str, &str)]) -> HttpResponse {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "text/html")];
    client.post_with(path, &headers, encoded(form)).await
}

fn encoded(form: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}
