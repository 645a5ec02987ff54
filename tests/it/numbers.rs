//! Every spelling of a number means the same number.

use serde_json::json;

use crate::support::documented::{incorrect, sent, verified};
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
async fn a_default_region_reads_national_numbers() {
    let world = World::with([("default-region", json!("DE"))]).await;
    let number = "+491711234567";
    world.send("0171 1234567").await.expects(sent(number, 5));
    world.verify(number, &world.twilio.code_for(number)).await.expects(verified(number));
    world.send("+14155552671").await.expects(sent("+14155552671", 5));
}
