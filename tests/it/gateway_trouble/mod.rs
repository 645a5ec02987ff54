//! A gateway that refuses, hangs, resets or answers nonsense.

mod certified;
mod every_gateway;
mod held_checks;
mod hung_resolver;
mod keep_alive;
mod kinds;
mod out_of_reach;
mod raw;
mod tls;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::documented::{bad_request, failed, incorrect, sent, verified};
use crate::support::{Numbers, Reply, Setup, World, through, wrong};

/// Twilio's codes about the recipient: security.md section 3.
const ABOUT_THE_NUMBER: [u32; 5] = [21211, 21614, 60205, 21610, 30006];

/// Twilio's codes about the account, the sender or the service.
const ABOUT_US: [u32; 12] =
    [21408, 21215, 21608, 21219, 21212, 21603, 21606, 21703, 20003, 30002, 30034, 63038];

#[tokio::test]
async fn an_error_about_the_number_is_a_bad_request() {
    let world = World::new().await;
    for code in ABOUT_THE_NUMBER {
        let number = world.number();
        world.twilio.plan(&number, [Reply::Refuse { status: 400, code }]);
        world.send(&number).await.expects(bad_request());
    }
}

#[tokio::test]
async fn an_error_about_the_account_is_a_server_error() {
    let world = World::new().await;
    for code in ABOUT_US {
        let number = world.number();
        let status = if code == 20003 { 401 } else { 400 };
        world.twilio.plan(&number, [Reply::Refuse { status, code }]);
        world.send(&number).await.expects(failed());
    }
}

#[tokio::test]
async fn whatever_the_gateway_does_the_count_stays_as_it_was() {
    let world = World::with([("send-budget", json!("1s"))]).await;
    for trouble in TROUBLES {
        let (number, code) = world.number_with_code().await;
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
        world.twilio.plan(&number, [trouble; 64]);
        world.send(&number).await.expects(failed());
        world.verify(&number, "no code").await.expects(incorrect(&number, 3));
    }
}

#[tokio::test]
async fn after_a_resend_that_surely_failed_the_earlier_code_still_works() {
    let world = World::new().await;
    for reply in [Reply::Refuse { status: 401, code: 20003 }, Reply::Refuse { status: 400, code: 21408 }] {
        let (number, code) = world.number_with_code().await;
        world.twilio.plan(&number, [reply]);
        world.send(&number).await.expects(failed());
        world.verify(&number, &code).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn the_code_of_a_send_with_an_unknown_end_is_good() {
    let world = World::with([("send-budget", json!("1s"))]).await;
    for trouble in [Reply::Hang, Reply::Reset, Reply::CutShort, Reply::NotJson, Reply::ServerError(500)] {
        let number = world.number();
        world.twilio.plan(&number, [trouble; 64]);
        world.send(&number).await.expects(failed());
        let code = world.twilio.code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn one_request_sends_no_second_message_when_the_first_may_have_arrived() {
    let world = World::with([("send-budget", json!("1s"))]).await;
    let number = world.number();
    world.twilio.plan(&number, [Reply::Hang; 64]);
    world.send(&number).await.expects(failed());
    assert_eq!(world.twilio.received_for(&number).len(), 1);
}

#[tokio::test]
async fn a_gateway_that_does_not_speak_http_is_a_server_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 64];
            let _ = stream.read(&mut request).await;
            let _ =
                stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\xff\x00 nothing that HTTP knows\r\n\r\n").await;
        }
    });
    let server = through(&format!("http://{address}"), Setup::new()).start().await;
    server.client.send(&Numbers::default().next()).await.expects(failed());
}

#[tokio::test]
async fn a_gateway_without_a_listener_is_a_server_error_and_sends_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let setup = Setup::new().config("send-budget", "1s");
    let server = through(&format!("http://{address}"), setup).start().await;
    let number = Numbers::default().next();
    server.client.send(&number).await.expects(failed());
    server.client.verify(&number, "123456").await.expects(incorrect(&number, 5));
}

#[tokio::test]
async fn while_the_gateway_hangs_other_numbers_verify() {
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;
    let slow = world.number();
    world.twilio.plan(&slow, [Reply::Hang]);
    let client = world.server.client.clone();
    let hanging = tokio::spawn({
        let slow = slow.clone();
        async move { client.send(&slow).await }
    });
    world.twilio.arrived(2).await;

    world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
    world.verify(&number, &code).await.expects(verified(&number));
    world.verify(&slow, "no code").await.expects(incorrect(&slow, 4));
    assert!(!hanging.is_finished(), "the send waits for the gateway");

    world.twilio.release();
    hanging.await.expect("an answer").expects(sent(&slow, 4));
}

#[tokio::test]
async fn a_send_while_one_is_on_its_way_repeats_its_code() {
    let world = World::new().await;
    let number = world.number();
    world.twilio.plan(&number, [Reply::Hang, Reply::Hang]);
    let sends = [0, 1].map(|_| {
        let (client, number) = (world.server.client.clone(), number.clone());
        tokio::spawn(async move { client.send(&number).await })
    });
    world.twilio.arrived(2).await;
    world.twilio.release();
    for send in sends {
        send.await.expect("an answer").expects(sent(&number, 5));
    }
    let codes = world.twilio.codes();
    assert!(codes.len() == 2 && codes[0] == codes[1], "both messages carry one code");
    world.verify(&number, &codes[0]).await.expects(verified(&number));
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cancel_its_send() {
    let world = World::new().await;
    let number = world.number();
    world.twilio.plan(&number, [Reply::Hang]);
    let (client, to) = (world.server.client.clone(), number.clone());
    let impatient = tokio::spawn(async move { client.try_send(&to).await });
    world.twilio.arrived(1).await;
    impatient.abort();
    let _ = impatient.await;
    world.twilio.release();

    let code = world.twilio.code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn the_validity_period_is_at_most_the_codes_life_and_at_least_six_seconds() {
    for (life, accepted) in [("30s", 6..=30), ("7s", 6..=7), ("2s", 6..=6), ("11h", 36_000..=36_000)] {
        let world = World::with([("otp-timeout", json!(life))]).await;
        let number = world.number();
        world.send(&number).await.expects(sent(&number, 5));
        let received = world.twilio.received_for(&number);
        let seconds: u32 = received[0].field("ValidityPeriod").parse().expect("whole seconds");
        assert!(accepted.contains(&seconds), "{life}: {seconds}");
    }
}

#[tokio::test]
async fn a_messaging_service_sends_in_place_of_a_number() {
    let twilio = crate::support::Twilio::start().await;
    let service = "MG0123456789abcdef0123456789abcdef";
    let setup = Setup::new()
        .env("TWILIO_ACCOUNT_SID", crate::support::ACCOUNT_SID)
        .env("TWILIO_AUTHTOKEN", crate::support::AUTH_TOKEN)
        .env("TWILIO_MESSAGING_SERVICE_SID", service)
        .env("TWILIO_BASE_URL", twilio.base_url());
    let server = setup.start().await;
    let number = Numbers::default().next();
    server.client.send(&number).await.expects(sent(&number, 5));
    let received = twilio.received_for(&number);
    assert_eq!(received[0].field("MessagingServiceSid"), service);
    assert!(!received[0].form.contains_key("From"));
}

/// All troubles that say nothing about the number.
const TROUBLES: [Reply; 8] = [
    Reply::Refuse { status: 400, code: 21606 },
    Reply::Busy,
    Reply::ServerError(500),
    Reply::ServerError(503),
    Reply::NotJson,
    Reply::CutShort,
    Reply::Reset,
    Reply::Hang,
];
