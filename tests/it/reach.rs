//! A message that does not arrive, an answer that is lost, and a person who replied STOP.

use crate::support::prelude::*;

const BOTH: &str = "Twilio;Http";

/// A server with an address for Twilio's reports.
async fn reachable(gateways: &str) -> Several {
    Several::with_account(gateways, [("public-url", json!(PUBLIC_URL))]).await
}

#[tokio::test]
async fn a_resend_goes_another_way_at_every_door() {
    let world = reachable(BOTH).await;
    let v2 = V2::of(&world);
    let service = v2.service(&[]).await;
    for door in ["/v2", "/api", "/send-code", "/Messages"] {
        let number = world.number();
        for (sends, code) in [([1, 0], "111111"), ([1, 1], "222222"), ([2, 1], "333333"), ([2, 2], "444444")]
        {
            let answer = match door {
                "/v2" => v2.begins(&service, &number).await,
                "/api" => world.send(&number).await,
                "/send-code" => world.post("/send-code", json!({ "phoneNumber": number }).to_string()).await,
                _ => v2.post(&format!("{service}/Messages"), &[("To", &number), ("Code", code)]).await,
            };
            assert!(answer.status() < 300, "{door}: {}", answer.text());
            assert_eq!(world.doubles.sends_to(&number), sends, "{door}");
        }
        if door == "/v2" {
            assert_eq!(world.plain().code_for(&number), world.twilio().code_for(&number), "one code");
            let rows = world.tracked(&number).await;
            let named = |name: &str| rows.iter().filter(|row| row["gateway"] == name).count();
            assert_eq!((named("TwilioMessages"), named("Http")), (2, 2), "{rows:?}");
        }
    }
}

#[tokio::test]
async fn a_check_repeated_with_its_idempotency_key_is_answered_alike_after_a_crash() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    let number = world.number();
    let begun = sid(&v2.begins(&service, &number).await);
    let code = world.twilio().code_for(&number);
    let path = format!("{service}/VerificationCheck");
    let checks = async |v2: &V2, key: &str, code: &str| {
        let form = [("VerificationSid", begun.as_str()), ("To", &number), ("Code", code)];
        v2.post_with(&path, ("idempotency-key", key), &form).await
    };
    let guess = wrong(&code);
    let pending = checks(&v2, "guess", &guess).await.tells(200, "pending");
    let approved = checks(&v2, "right", &code).await.tells(200, "approved");
    assert_eq!(checks(&v2, "right", &code).await.text(), approved.text());
    let other = checks(&v2, "right", &guess).await;
    assert_eq!(status_and_code(&other), (422, "20422".to_owned()), "{}", other.text());
    let world = world.restart_after_kill().await;
    let v2 = V2::of(&world);
    assert_eq!(checks(&v2, "right", &code).await.text(), approved.text());
    assert_eq!(checks(&v2, "guess", &guess).await.text(), pending.text());
    v2.checks(&service, &begun, &code).await.expects_status(404);
    // The message's attempt tells the result too.
    let attempts = v2.get(&format!("/Attempts?VerificationSid={begun}")).await.json();
    assert_eq!(attempts["attempts"][0]["conversion_status"], "converted", "{attempts}");
}

#[tokio::test]
async fn a_person_who_replied_stop_is_told_so_or_called() {
    let stopped = "+15005550004";
    let server = V2::account(Setup::new().config("voice", true)).start().await;
    let v2 = V2::of(&server.client);
    let service = v2.service(&[]).await;
    for number in [stopped, "+15005550009"] {
        let begun = v2.begins(&service, number).await.expects_status(201).json();
        let channels: Vec<_> = begun["send_code_attempts"].as_array().expect("a list").iter().collect();
        assert_eq!(channels.last().expect("attempts")["channel"], "CALL", "{begun}");
        // A call reads the digits one by one, twice.
        let spoken = inbox(&server.client, number).await[0]["text"].to_string();
        let code: String = spoken.chars().filter(char::is_ascii_digit).take(6).collect();
        v2.checks_number(&service, number, &code).await.tells(200, "approved");
        server.client.send(number).await.expects(sent(number, 5));
    }
    let setup = Setup::new().configs([("voice", json!(true)), ("voice-fallback", json!(false))]);
    let server = V2::account(setup).start().await;
    let v2 = V2::of(&server.client);
    let service = v2.service(&[]).await;
    let refused = v2.begins(&service, stopped).await;
    assert_eq!(status_and_code(&refused), (403, "21610".to_owned()));
    refused.text().says(["unsubscribed", "STOP"]);
    let form = [("To", stopped), ("Code", "123456")];
    let refused = v2.post(&format!("{service}/Messages"), &form).await;
    assert_eq!(status_and_code(&refused), (403, "21610".to_owned()));
    let refused = server.client.send(stopped).await.expects_status(400);
    assert!(refused.header("x-onceward-reason").contains("no messages"), "{refused:?}");
}

#[tokio::test]
async fn an_address_that_cannot_be_read_is_logged_once_and_one_in_brackets_is_read() {
    for (address, lines) in [("unknown", 1), ("[2001:db8:19::9]", 0), ("\"[2001:db8:19::9]:443\"", 0)] {
        let setup = Setup::new()
            .config("trusted-proxies", json!(["127.0.0.0/8"]))
            .config("client-address-header", "X-Forwarded-For");
        let server = setup.start().await;
        for _ in 0..3 {
            let headers = [("x-forwarded-for", address)];
            server.client.post_with("/api/send-otp", &headers, r#"{"phoneNumber":"+14155550123"}"#).await;
        }
        let output = server.stop().await.output;
        assert_eq!(output.matches("client address not read").count(), lines, "{address}");
    }
}

#[tokio::test]
async fn a_message_of_several_parts_shows_them_and_is_logged_once() {
    let (world, v2) = World::with_account(Setup::new().config("webotp-domain", "codes.example.com")).await;
    let rules = [("CodeLength", "10"), ("DoNotShareWarningEnabled", "true")];
    let (long, short) = (v2.service(&rules).await, v2.service(&[]).await);
    for (service, locale, parts) in [(&long, "ar", 2), (&long, "ar", 2), (&short, "en", 1)] {
        let number = world.number();
        let begun = v2.begins_with(service, &number, &[("Locale", locale)]).await.expects_status(201);
        let of = format!("/Attempts?VerificationSid={}", sid(&begun));
        assert_eq!(v2.get(&of).await.json()["attempts"][0]["channel_data"]["parts"], parts, "{locale}");
        assert_eq!(world.tracked(&number).await[0]["parts"], parts);
    }
    let page = Visitor::of(&world).await.get("/admin/messages").await.text();
    assert_eq!(page.matches("<td data-name=\"Parts\">2</td>").count(), 2, "{page}");
    let output = world.restart().await.1.output;
    assert_eq!(output.matches("text message of several parts").count(), 1, "{output}");
}
