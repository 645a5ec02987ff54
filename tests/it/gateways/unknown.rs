//! A gateway that does not say whether it took the message.

use super::is_sent;
use super::receipts::until_receipt;
use crate::support::prelude::*;

/// Everything after which it is unknown whether the message was sent.
const TROUBLES: [Reply; 8] = [
    Reply::ServerError(500),
    Reply::ServerError(503),
    Reply::Refuse { status: 500, code: 20_500 },
    Reply::Refuse { status: 503, code: 20_503 },
    Reply::NotJson,
    Reply::CutShort,
    Reply::Reset,
    Reply::Hang,
];

/// Circuits that stay closed, and a short budget.
async fn routed(gateways: &str, budget: &str) -> Several {
    Several::with(gateways, [("bounds.breaker-failures", json!(100)), ("send-budget", json!(budget))]).await
}

#[tokio::test]
async fn the_next_gateway_gets_the_same_code_whatever_the_first_one_did() {
    let world = routed("Twilio;Http", "4s").await;
    for trouble in TROUBLES {
        let number = world.number_with([trouble]);
        world.accepts(&number).await;
        assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 1], "{trouble:?}");
        both_sent_the_right_code(&world, &number).await;
        let rows = world.tracked(&number).await;
        let statuses: Vec<_> =
            rows.iter().map(|row| (text(row, "gateway"), text(row, "send_status"))).collect();
        assert!(statuses.contains(&("TwilioMessages", "gateway_error")), "{statuses:?}");
        assert!(statuses.contains(&("Http", "sent")), "{statuses:?}");
    }
}

#[tokio::test]
async fn with_retries_a_send_that_no_gateway_took_is_repeated_later() {
    let settings = [("sms", json!({"retry": true})), ("send-budget", json!("8s"))];
    let world = Several::reachable("Twilio;Http", settings).await;
    for trouble in TROUBLES {
        let number = world.number_with([trouble]);
        world.plain().plan(&number, [Reply::CutShort]);
        world.accepts(&number).await;
        world.until_tracked(&number, "it is sent", is_sent).await;
        assert_eq!(world.doubles.sends_to(&number), [2, 0, 0, 1], "{trouble:?}");
        both_sent_the_right_code(&world, &number).await;
    }
}

#[tokio::test]
async fn after_a_silent_gateway_with_codes_of_its_own_the_next_code_counts() {
    for gateways in ["TwilioVerify;Http", "Sinch;Http"] {
        let world = routed(gateways, "4s").await;
        for trouble in [Reply::NotJson, Reply::CutShort, Reply::Hang] {
            let number = world.number_with([trouble]);
            world.sinch().plan(&number, [trouble]);
            world.accepts(&number).await;
            let code = world.plain().code_for(&number);
            world.verify(&number, "no code").await.expects(incorrect(&number, 4));
            world.verify(&number, &code).await.expects(verified(&number));
            assert!(world.twilio().checks_for(&number).is_empty());
            assert!(world.sinch().checks_for(&number).is_empty());
        }
    }
}

#[tokio::test]
async fn a_resend_goes_to_another_gateway_when_the_holder_of_the_code_fails() {
    let (world, v2, service) = sinch_then_http("send-budget", "4s").await;
    for trouble in [Reply::ServerError(500), Reply::Busy, Reply::Hang] {
        let number = world.number();
        let begun = v2.begins(&service, &number).await.tells(201, "pending");
        let replaced = world.sinch().code_for(&number);
        world.sinch().plan(&number, [trouble]);
        let again = v2.begins(&service, &number).await;
        assert_eq!(
            (status_and_code(&again), sid(&again)),
            ((201, "pending".to_owned()), sid(&begun)),
            "{trouble:?}"
        );
        assert_eq!(world.doubles.sends_to(&number), [0, 2, 0, 1]);
        let checks = async |code: &str| v2.checks(&service, &sid(&begun), code).await;
        checks(&replaced).await.tells(200, "pending");
        assert_eq!(world.sinch().checks_for(&number).len(), 0, "its code is over");
        checks(&world.plain().code_for(&number)).await.tells(200, "approved");
    }
}

#[tokio::test]
async fn a_holder_that_sends_after_another_gateway_has_the_right_code() {
    let (world, v2, service) = sinch_then_http("send-budget", "4s").await;
    let number = world.number();
    world.sinch().plan(&number, [Reply::Busy]);
    v2.begins(&service, &number).await.tells(201, "pending");
    let replaced = world.plain().code_for(&number);
    world.plain().plan(&number, [Reply::ServerError(500)]);
    let begun = v2.begins(&service, &number).await.tells(201, "pending");
    assert_eq!(world.doubles.sends_to(&number), [0, 2, 0, 2]);
    let world = world.restart_after_kill().await;
    let v2 = V2::of(&world);
    let checks = async |code: &str| v2.checks(&service, &sid(&begun), code).await;
    checks(&replaced).await.tells(200, "pending");
    checks(&world.sinch().code_for(&number)).await.tells(200, "approved");
}

#[tokio::test]
async fn a_replaced_code_stays_wrong_while_a_further_message_is_sent() {
    let (world, v2, service) = sinch_then_http("send-budget", "10s").await;
    let number = world.number();
    world.sinch().plan(&number, [Reply::Busy]);
    let begun = v2.begins(&service, &number).await;
    let replaced = world.plain().code_for(&number);
    world.plain().plan(&number, [Reply::ServerError(500); 2]);
    v2.begins(&service, &number).await;
    world.sinch().plan(&number, [Reply::Hang]);
    let guess = async {
        world.sinch().arrived_for(&number, 3).await;
        let answer = status_and_code(&v2.checks(&service, &sid(&begun), &replaced).await);
        world.sinch().release();
        answer
    };
    let (_, answer) = tokio::join!(v2.begins(&service, &number), guess);
    assert_eq!(answer, (200, "pending".to_owned()));
}

#[tokio::test]
async fn a_message_that_may_have_failed_leaves_the_accepted_code_right() {
    let (world, v2, service) = sinch_then_http("send-budget", "4s").await;
    for trouble in [Reply::CutShort, Reply::Hang] {
        let number = world.number();
        let begun = v2.begins(&service, &number).await;
        world.sinch().plan(&number, [Reply::Busy; 2]);
        world.plain().plan(&number, [trouble; 2]);
        let failed = v2.begins(&service, &number).await;
        assert!(failed.status() >= 500, "{}", failed.text());
        let checks = async |code: &str| status_and_code(&v2.checks(&service, &sid(&begun), code).await);
        let doubtful = world.plain().code_for(&number);
        assert_eq!(checks(&doubtful).await, (200, "pending".to_owned()), "{trouble:?}");
        assert_eq!(checks(&world.sinch().code_for(&number)).await, (200, "approved".to_owned()));
    }
}

#[tokio::test]
async fn a_late_report_of_a_gateway_that_was_given_up_is_recorded() {
    let settings = [("public-url", json!(PUBLIC_URL)), ("send-budget", json!("3s"))];
    let world = Several::with("Twilio;Http", settings).await;
    let number = world.number_with([Reply::Hang]);
    world.accepts(&number).await;
    world.twilio().report(&number, "delivered").send(&world).await.expects_status(204);
    until_receipt(&world, &number, "delivered").await;
    let rows = world.tracked(&number).await;
    let mut gateways: Vec<_> =
        rows.iter().map(|row| (text(row, "gateway"), text(row, "send_status"))).collect();
    gateways.sort_unstable();
    assert_eq!(gateways, [("Http", "sent"), ("TwilioMessages", "sent")]);
    world.verifies_by_plain(&number).await;
}

#[tokio::test]
async fn every_failed_send_logs_its_reason_with_the_id_of_its_request() {
    let settings = [("bounds.breaker-failures", json!(2)), ("bounds.breaker-open-for", json!(100_000))];
    let world = Several::with("Twilio", settings).await;
    world.twilio().otherwise(Reply::ServerError(500));
    // The first two ask the gateway, and the third finds its circuit open.
    for (message, field, reason) in [
        ("outcome of a message unknown", "class", "Ambiguous"),
        ("outcome of a message unknown", "class", "Ambiguous"),
        ("message not sent", "error", "every gateway for this number is out of service; nothing was sent"),
    ] {
        let answer = world.send(&world.number()).await.expects_status(500);
        let line = line_of(&world, &answer, message).await;
        assert_eq!((line["level"].as_str(), line[field].as_str()), (Some("WARN"), Some(reason)), "{line}");
    }
}

#[tokio::test]
async fn every_failed_check_at_a_gateway_logs_the_id_of_its_request() {
    for gateway in ["TwilioVerify", "Sinch"] {
        let settings = [("bounds.breaker-failures", json!(100)), ("send-budget", json!("3s"))];
        let world = Several::with_account(gateway, settings).await;
        let v2 = V2::of(&world);
        let service = v2.service(&[]).await;
        let (old, new) = (world.number_with_message().await, world.number());
        let verification = sid(&v2.begins(&service, &new).await);
        for (trouble, field, reason) in [
            (Reply::ServerError(500), "class", "Ambiguous"),
            (Reply::Busy, "class", "Retry"),
            (Reply::Hang, "reason", "no answer in time"),
        ] {
            for number in [&old, &new] {
                world.twilio().plan_checks(number, [trouble]);
                world.sinch().plan_checks(number, [trouble]);
            }
            let answers =
                [world.verify(&old, "123456").await, v2.checks(&service, &verification, "123456").await];
            for answer in answers {
                assert!(answer.status() >= 500, "{}", answer.text());
                let line = line_of(&world, &answer, "gateway check failed").await;
                assert_eq!(line[field], reason, "{line}");
            }
        }
    }
}

/// The log line with this message about the request of an answer.
async fn line_of(world: &Several, answer: &HttpResponse, message: &str) -> Value {
    let id = answer.header("x-request-id");
    let is_it = |event: &Value| event["request_id"] == id && event["message"] == message;
    world.server.event(message, is_it).await
}

/// Sinch holds its codes, the plain gateway carries ours, and circuits stay closed. Returns a client of the account and
/// the path of a service with codes of ten digits too.
async fn sinch_then_http(key: &str, value: &str) -> (Several, V2, String) {
    let settings = [("bounds.breaker-failures", json!(100)), (key, json!(value))];
    let world = Several::with_account("Sinch;Http", settings).await;
    let v2 = V2::of(&world);
    let service = v2.service(&[("CodeLength", "10")]).await;
    (world, v2, service)
}

async fn both_sent_the_right_code(world: &Several, number: &str) {
    assert_eq!(world.twilio().code_for(number), world.plain().code_for(number));
    world.verifies_by_plain(number).await;
}
