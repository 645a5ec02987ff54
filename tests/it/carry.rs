//! Codes that another system makes and checks: one message each, its repetition, its successor, and its outcome.

use crate::support::prelude::*;

const TO: &str = "+14155550100";

async fn carries(v2: &V2, service: &str, form: &[(&str, &str)]) -> HttpResponse {
    v2.post(&format!("{service}/Messages"), form).await
}

#[tokio::test]
async fn a_carried_code_is_one_message_and_no_verification() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    let sent = carries(&v2, &service, &[("To", TO), ("Code", "A1b2C3"), ("Ttl", "300")])
        .await
        .tells(201, "accepted");
    let received = world.twilio().messages_for(TO);
    assert_eq!(received.len(), 1);
    received[0].field("Body").says(["A1b2C3"]);
    assert!((240..=300).contains(&received[0].field("ValidityPeriod").parse().expect("seconds")));
    let attempt = v2.get(&format!("/Attempts/{}", sid(&sent))).await.json();
    assert_eq!(text(&attempt, "conversion_status"), "unconverted");
    assert_eq!(v2.checks_number(&service, TO, "A1b2C3").await.status(), 404);
}

#[tokio::test]
async fn an_accepted_code_is_not_sent_again_even_after_a_crash() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    let form = [("To", TO), ("Code", "123456"), ("Ttl", "600")];
    world.twilio().plan(TO, [Reply::Refuse { status: 400, code: 30_007 }]);
    let refused = carries(&v2, &service, &form).await;
    assert_eq!(refused.status(), 502, "a message that was refused is no repetition");
    let first = carries(&v2, &service, &form).await.tells(201, "accepted");
    let again = carries(&v2, &service, &form).await.tells(201, "repeated");
    assert_eq!(again.json()["sid"], first.json()["sid"]);

    let world = world.restart_after_kill().await;
    let v2 = V2::of(&world);
    carries(&v2, &service, &form).await.tells(201, "repeated");
    assert_eq!(world.twilio().received().len(), 2);
    let other = v2.service(&[]).await;
    for (service, to, code) in
        [(&service, TO, "654321"), (&service, "+14155550101", "123456"), (&other, TO, "123456")]
    {
        carries(&v2, service, &[("To", to), ("Code", code)]).await.tells(201, "accepted");
    }
}

#[tokio::test]
async fn an_outcome_pays_the_guard_back_once_for_each_message() {
    let setup = Setup::new().config("guard", json!({})).config("bounds.guard-sends-per-number", 2);
    let (_world, v2, service) = World::with_service(setup).await;
    let outcome = async || status_and_code(&v2.post(&format!("{service}/Outcomes"), &[("To", TO)]).await);
    assert_eq!(outcome().await, (200, "unknown".to_owned()), "no message, no outcome");
    for code in ["111111", "222222"] {
        assert_eq!(carries(&v2, &service, &[("To", TO), ("Code", code)]).await.status(), 201);
    }
    let third = [("To", TO), ("Code", "333333")];
    carries(&v2, &service, &third).await.tells(403, "60410");
    assert_eq!(outcome().await, (200, "counted".to_owned()));
    assert_eq!(outcome().await, (200, "unknown".to_owned()), "it counts once");
    carries(&v2, &service, &third).await.tells(201, "accepted");
    // An outcome does not end a code's life.
    carries(&v2, &service, &[("To", TO), ("Code", "222222")]).await.tells(201, "repeated");
    let converted = v2.get("/Attempts?Status=converted").await.json();
    assert_eq!(converted["attempts"].as_array().map(Vec::len), Some(1));
}
