//! The form of the inbox, as a browser without JavaScript submits it, and the start page that leads to it.

use hyper::Method;

use crate::support::prelude::*;

const NUMBER: &str = "+14155550123";

#[tokio::test]
async fn a_person_sends_a_code_reads_it_below_the_form_and_is_verified() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let start = open(client, "/").await;
    assert!(start.text().contains("href=\"/inbox\"") && !start.text().contains("<form"), "{}", start.text());
    let page = open(client, "/inbox").await;
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    page.says([
        "action=\"/inbox\"",
        "<label for=\"number\">",
        "value=\"+14155550123\"",
        "Simulator",
        "viewport",
    ]);
    page.says(["nothing leaves this machine", "No message yet"]);

    let sent = submit(client, &[("number", "+1 415-555-0124")]).await;
    assert_eq!((sent.status(), sent.header("location")), (303, "/inbox"));
    let code = code_in(&inbox(client, "+14155550124").await[0]);
    let page = open(client, sent.header("location")).await.text();
    page.says([&*format!(">{code}</span>"), "value=\"+14155550124\"", "expires in"]);

    let checked = check(client, "+14155550124", &code).await;
    assert_eq!((checked.status(), checked.header("location")), (303, "/inbox"));
    let shown = || async { open(client, "/inbox").await.text() };
    until("verified", shown, |page| page.contains("badge end\">used<")).await;
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
    let setup = Setup::new().config("max-commands-per-number", 1).config("send-budget", "4s");
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
    assert!(world.twilio.received().is_empty());

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
