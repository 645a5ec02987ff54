//! The hard stop of a number under guesses, and the ways out of a lockout. `engine::tests` of the core have the odds.

use crate::support::prelude::*;

/// Longer than any code here, so that chance does not help.
const NO_CODE: &str = "0000000000";

#[tokio::test]
async fn a_key_of_the_administration_ends_a_hard_stop_and_a_webhook_is_told() {
    let (world, v2) = World::with_account(Setup::new().config("webhook-private-addresses", true)).await;
    let service = v2.service(&[("MaxChecks", "100")]).await;
    let receiver = Receiver::start().await;
    let hook = v2.webhook(&service, "number.locked", &receiver.url()).await;
    let number = world.number();
    let path = format!("{service}/Lockouts/{number}");
    assert_eq!(v2.get(&path).await.status(), 404, "a number without a wrong code");
    v2.begins(&service, &number).await.tells(201, "pending");
    for _ in 0..99 {
        v2.checks_number(&service, &number, NO_CODE).await.expects_status(200);
    }
    let counted = v2.get(&path).await.json();
    assert_eq!((&counted["wrong_codes"], &counted["date_locked_until"]), (&json!(99), &json!(null)));
    v2.checks_number(&service, &number, NO_CODE).await;
    let seconds = v2.begins(&service, &number).await.tells(429, "60202").retry_after();
    assert!((29..=30).contains(&(seconds / (24 * 3_600))), "{seconds} s");

    let event = receiver.next(text(&hook, "secret")).await;
    assert_eq!((&event["type"], &event["data"]["to"]), (&json!("number.locked"), &json!(number)));
    let shown = v2.get(&path).await.json();
    assert_eq!(shown["wrong_codes"], json!(100));
    assert_eq!(text(&shown, "date_locked_until")[..19], text(&event["data"], "locked_until")[..19]);

    let key = world.with_new_key(&["--scope", "admin"]).await;
    assert_eq!(key.delete(&path).await.status(), 204);
    assert_eq!(v2.get(&path).await.status(), 404);
    v2.begins(&service, &number).await.tells(201, "pending");
    v2.checks_number(&service, &number, &world.twilio().code_for(&number)).await.tells(200, "approved");
}
