//! `otp-sms-provider`: the gateway of a number's message, and the next one.

use serde_json::json;

use super::refused;
use crate::support::documented::verified;
use crate::support::{Reply, Several, code_in, inbox};

#[tokio::test]
async fn a_gateway_with_prefixes_takes_the_numbers_that_begin_with_one_of_them() {
    let world = Several::routed("Twilio;Mada:+35987,+35988;Sinch").await;
    for prefix in ["+35987", "+35988"] {
        let number = world.numbers.beginning(prefix, 7);
        world.accepts(&number).await;
        assert_eq!(world.doubles.sends_to(&number), [0, 0, 1, 0]);
        let code = world.mada().code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
    }
    for number in [world.number(), world.numbers.beginning("+35989", 7)] {
        world.accepts(&number).await;
        assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 0], "{number}");
    }
}

#[tokio::test]
async fn when_a_gateway_with_prefixes_fails_the_list_without_prefixes_is_next() {
    let world = Several::routed("Twilio;Mada:+35987;Http").await;
    let number = world.numbers.beginning("+35987", 7);
    world.mada().plan(&number, [Reply::Refuse { status: 200, code: 20 }]);
    world.twilio().plan(&number, [refused(21_408)]);
    world.accepts(&number).await;
    assert_eq!(world.doubles.sends_to(&number), [1, 0, 1, 1]);
}

#[tokio::test]
async fn the_simulator_can_be_one_of_several() {
    let world = Several::with("Simulator:+35987;Twilio", [("production", json!(false))]).await;
    let number = world.numbers.beginning("+35987", 7);
    world.accepts(&number).await;
    assert_eq!(world.doubles.sends_to(&number), [0; 4]);
    let code = code_in(&inbox(&world, &number).await[0]);
    world.verify(&number, &code).await.expects(verified(&number));
}
