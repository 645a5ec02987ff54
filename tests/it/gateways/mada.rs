//! Mada, a gateway that speaks SOAP.

use serde_json::json;

use crate::support::documented::{bad_request, failed, sent, verified};
use crate::support::{MADA_SOURCE, Reply, Several};

fn command_status(code: u32) -> Reply {
    Reply::Refuse { status: 200, code }
}

#[tokio::test]
async fn a_message_is_submitted_as_mada_wants_it_and_its_code_verifies() {
    let world =
        Several::with("Mada", [("otp-message", json!("<A> & \"B\": {code} ist dein Code, größer > 1"))])
            .await;
    // The double uses another prefix in each answer.
    for _ in 0..4 {
        let number = world.number();
        world.send(&number).await.expects(sent(&number, 5));
        let submitted = world.mada().submitted_for(&number);
        let code = world.mada().code_for(&number);
        assert_eq!(submitted.len(), 1);
        assert_eq!(submitted[0].source, MADA_SOURCE);
        assert_eq!(submitted[0].text, format!("<A> & \"B\": {code} ist dein Code, größer > 1"));
        world.verify(&number, &code).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn what_mada_may_take_later_goes_to_the_next_gateway() {
    let world = Several::with("Mada;Http", [("breaker-failures", json!(100))]).await;
    for code in [8, 20, 88, 100] {
        let number = world.number();
        world.mada().plan(&number, [command_status(code)]);
        world.send(&number).await.expects(sent(&number, 5));
        assert_eq!(world.doubles.sends_to(&number), [0, 0, 1, 1], "{code}");
    }
}

#[tokio::test]
async fn mada_alone_gets_one_more_try_of_a_message_that_it_may_take_later() {
    let world = Several::routed("Mada").await;
    let number = world.number();
    world.mada().plan(&number, [command_status(88)]);
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.doubles.sends_to(&number), [0, 0, 2, 0]);
}

#[tokio::test]
async fn a_destination_unknown_to_mada_is_a_bad_request_without_a_further_send() {
    let world = Several::routed("Mada;Http").await;
    let number = world.number();
    world.mada().plan(&number, [command_status(11)]);
    world.send(&number).await.expects(bad_request());
    assert_eq!(world.doubles.sends_to(&number), [0, 0, 1, 0]);
}

#[tokio::test]
async fn a_message_that_mada_refuses_goes_to_the_next_gateway_without_a_retry() {
    let world = Several::with("Mada;Http", [("breaker-failures", json!(100))]).await;
    for code in [1, 10, 14, 101, 1_035, 4_711] {
        let number = world.number();
        world.mada().plan(&number, [command_status(code)]);
        world.send(&number).await.expects(sent(&number, 5));
        assert_eq!(world.doubles.sends_to(&number), [0, 0, 1, 1], "{code}");
    }
    let world = Several::routed("Mada").await;
    let number = world.number();
    world.mada().plan(&number, [command_status(1_035); 8]);
    world.send(&number).await.expects(failed());
    assert_eq!(world.doubles.sends_to(&number), [0, 0, 1, 0]);
}

#[tokio::test]
async fn what_mada_may_have_sent_is_sent_by_the_next_gateway_too() {
    let world = Several::with("Mada;Http", [("send-budget", json!("1s"))]).await;
    for trouble in [Reply::CutShort, Reply::NotJson, Reply::Reset, Reply::Hang] {
        let number = world.number();
        world.mada().plan(&number, [trouble]);
        world.send(&number).await.expects(sent(&number, 5));
        assert_eq!(world.doubles.sends_to(&number), [0, 0, 1, 1], "{trouble:?}");
        let code = world.mada().code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn a_password_that_mada_refuses_leads_to_the_next_gateway() {
    let world = Several::of("Mada;Http", |_, setup| setup.env("MADA_PASSWORD", "an old one")).await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.plain().received_for(&number).len(), 1);
}

#[tokio::test]
async fn the_address_may_be_a_whole_url() {
    let world =
        Several::of("Mada", |doubles, setup| setup.env("MADA_URL", format!("http://{}", doubles.mada.url())))
            .await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
}
