//! Codes that another system makes and checks: one message each, its repetition, its successor, and its outcome.

use crate::support::prelude::*;

const TO: &str = "+14155550100";

async fn carries(v2: &V2, service: &str, form: &[(&str, &str)]) -> HttpResponse {
    v2.post(&format!("{service}/Messages"), form).await
}

#[tokio::test]
async fn an_accepted_code_is_not_sent_again_even_after_a_crash() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    // A program that has no code writes one of these.
    for word in ["undefined", "null", "None"] {
        assert_eq!(carries(&v2, &service, &[("To", TO), ("Code", word)]).await.status(), 400, "{word}");
    }
    let form = [("To", TO), ("Code", "A1b2C3"), ("Ttl", "300")];
    world.twilio().plan(TO, [Reply::Refuse { status: 400, code: 30_007 }]);
    let refused = carries(&v2, &service, &form).await;
    assert_eq!(refused.status(), 502, "a message that was refused is no repetition");
    let first = carries(&v2, &service, &form).await.tells(201, "accepted");
    let message = &world.twilio().messages_for(TO)[1];
    message.field("Body").says(["A1b2C3"]);
    assert!((240..=300).contains(&message.field("ValidityPeriod").parse().expect("seconds")));
    let again = carries(&v2, &service, &form).await.tells(201, "repeated");
    assert_eq!(again.json()["sid"], first.json()["sid"]);
    assert_eq!(v2.checks_number(&service, TO, "A1b2C3").await.status(), 404, "it is no verification");

    let world = world.restart_after_kill().await;
    let v2 = V2::of(&world);
    carries(&v2, &service, &form).await.tells(201, "repeated");
    assert_eq!(world.twilio().received().len(), 2);
    let other = v2.service(&[]).await;
    carries(&v2, &other, &form).await.tells(201, "accepted");
}

#[tokio::test]
async fn an_outcome_pays_the_guard_back_once_for_each_message() {
    let setup = Setup::new().config("guard", json!({})).config("bounds.guard-sends-per-number", 2);
    let (_world, v2, service) = World::with_service(setup).await;
    let outcome = async || v2.post(&format!("{service}/Outcomes"), &[("To", TO)]).await;
    outcome().await.tells(200, "unknown");
    for code in ["111111", "222222"] {
        carries(&v2, &service, &[("To", TO), ("Code", code)]).await.tells(201, "accepted");
    }
    let third = [("To", TO), ("Code", "333333")];
    carries(&v2, &service, &third).await.tells(403, "60410");
    outcome().await.tells(200, "counted");
    outcome().await.tells(200, "unknown");
    carries(&v2, &service, &third).await.tells(201, "accepted");
    // An outcome does not end a code's life.
    carries(&v2, &service, &[("To", TO), ("Code", "222222")]).await.tells(201, "repeated");
    let converted = v2.get("/Attempts?Status=converted").await.json();
    assert_eq!(converted["attempts"].as_array().map(Vec::len), Some(1));
}
