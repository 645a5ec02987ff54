//! Every spelling of a number means the same number.

use serde_json::json;

use crate::support::documented::{bad_request, incorrect, sent, verified};
use crate::support::{World, wrong};

#[tokio::test]
async fn every_spelling_of_a_number_shares_its_code_and_its_count() {
    let world = World::new().await;
    let number = "+14155552671";
    world.send("+1 (415) 555-2671").await.expects(sent(number, 5));
    let code = world.twilio.code_for(number);

    world.verify("+1 415 555 2671", &wrong(&code)).await.expects(incorrect(number, 4));
    world.verify("+1-415-555-2671", &wrong(&code)).await.expects(incorrect(number, 3));
    world.send(" +14155552671 ").await.expects(sent(number, 3));
    let code = world.twilio.code_for(number);
    world.verify("+1.415.555.2671", &code).await.expects(verified(number));
}

#[tokio::test]
async fn numbers_of_many_countries_are_taken() {
    let world = World::new().await;
    for number in
        ["+359881234567", "+447400123456", "+33612345678", "+819012345678", "+5511987654321", "+6591234567"]
    {
        world.send(number).await.expects(sent(number, 5));
        world.verify(number, &world.twilio.code_for(number)).await.expects(verified(number));
    }
}

#[tokio::test]
async fn what_is_not_a_possible_number_is_a_bad_body_on_every_route() {
    let world = World::new().await;
    for number in [
        "",
        "+",
        "+1",
        "14155552671",
        "4155552671",
        "0014155552671",
        "+1415555267123456789",
        "+999999999999",
        "hello",
        "+1415CALLNOW",
        "+14155552671 ext. 5",
        "tel:+14155552671",
        "+١٤١٥٥٥٥٢٦٧١",
        "+1415555\u{0}2671",
        "+0000000000",
    ] {
        world.send(number).await.expects(bad_request());
        world.verify(number, "123456").await.expects(bad_request());
        assert_eq!(world.send_code(number).await.status(), 400, "{number:?}");
        assert_eq!(world.verify_code(number, "123456").await.status(), 400, "{number:?}");
    }
    assert!(world.twilio.received().is_empty());
}

#[tokio::test]
async fn a_default_region_reads_national_numbers() {
    let world = World::with([("default-region", json!("DE"))]).await;
    let number = "+491711234567";
    world.send("0171 1234567").await.expects(sent(number, 5));
    world.verify(number, &world.twilio.code_for(number)).await.expects(verified(number));
    world.send("+14155552671").await.expects(sent("+14155552671", 5));
}

#[tokio::test]
async fn two_numbers_have_two_lives() {
    let world = World::new().await;
    let (one, code_of_one) = world.number_with_code().await;
    let (two, code_of_two) = world.number_with_code().await;
    world.verify(&one, &wrong(&code_of_one)).await.expects(incorrect(&one, 4));
    if code_of_one != code_of_two {
        world.verify(&two, &code_of_one).await.expects(incorrect(&two, 4));
    }
    world.verify(&two, &code_of_two).await.expects(verified(&two));
    world.verify(&one, &code_of_one).await.expects(verified(&one));
}
