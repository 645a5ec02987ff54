//! The number of guesses that an attacker has, and the ways out of a lockout.

use std::ops::RangeInclusive;

use crate::support::prelude::*;

const DAY: i64 = 24 * 3_600;
/// Longer than any code here, so that chance does not help.
const NO_CODE: &str = "0000000000";

/// A machine whose days pass between two starts.
struct Days {
    world: World,
    clock: Shifted,
}

impl Days {
    async fn with(setup: Setup) -> Self {
        let (clock, setup) = Shifted::over(V2::account(setup));
        Self { world: World::of(setup).await, clock }
    }

    /// Starts the server again, so many seconds after its first start.
    async fn at(mut self, seconds: i64) -> (Self, V2) {
        self.world.server.stop().await;
        self.clock.by(seconds);
        self.world.server = self.world.setup.start().await;
        let v2 = V2::of(&self.world);
        (self, v2)
    }
}

/// Begins a verification and submits so many wrong codes, alternately by number and by id.
async fn guesses(v2: &V2, service: &str, number: &str, times: usize) {
    let begun = v2.begins(service, number).await.tells(201, "pending");
    for guess in 0..times {
        let checked = if guess % 2 == 0 {
            v2.checks_number(service, number, NO_CODE).await
        } else {
            v2.checks(service, &sid(&begun), NO_CODE).await
        };
        assert_eq!(checked.status(), 200, "guess {guess}: {}", checked.text());
    }
}

async fn stopped_for_days(v2: &V2, service: &str, number: &str, days: RangeInclusive<i64>) {
    let seconds = v2.begins(service, number).await.tells(429, "60202").retry_after().cast_signed();
    assert!(days.contains(&(seconds / DAY)), "{seconds} s");
}

#[tokio::test]
async fn quiet_days_do_not_clear_the_count_and_a_stop_goes_on_at_fifty() {
    let days = Days::with(Setup::new()).await;
    let v2 = V2::of(&days.world);
    let service = v2.service(&[("MaxChecks", "99")]).await;
    let number = days.world.number();
    guesses(&v2, &service, &number, 99).await;
    let (days, v2) = days.at(2 * DAY).await;
    guesses(&v2, &service, &number, 1).await;
    stopped_for_days(&v2, &service, &number, 29..=30).await;
    let (days, v2) = days.at(31 * DAY).await;
    stopped_for_days(&v2, &service, &number, 0..=1).await;
    let (_days, v2) = days.at(33 * DAY).await;
    guesses(&v2, &service, &number, 50).await;
    stopped_for_days(&v2, &service, &number, 29..=30).await;
}

#[tokio::test]
async fn a_key_of_the_administration_ends_a_hard_stop_and_a_webhook_is_told() {
    let (world, v2) = World::with_account(Setup::new().config("webhook-private-addresses", true)).await;
    let service = v2.service(&[("MaxChecks", "100")]).await;
    let receiver = Receiver::start().await;
    let hook = v2.webhook(&service, "number.locked", &receiver.url()).await;
    let number = world.number();
    let path = format!("{service}/Lockouts/{number}");
    assert_eq!(v2.get(&path).await.status(), 404, "a number without a wrong code");
    assert_eq!(v2.delete(&path).await.status(), 404);
    guesses(&v2, &service, &number, 99).await;
    let counted = v2.get(&path).await.json();
    assert_eq!((&counted["wrong_codes"], &counted["date_locked_until"]), (&json!(99), &json!(null)));
    v2.checks_number(&service, &number, NO_CODE).await;
    stopped_for_days(&v2, &service, &number, 29..=30).await;

    let event = receiver.next(text(&hook, "secret")).await;
    assert_eq!((&event["type"], &event["data"]["to"]), (&json!("number.locked"), &json!(number)));
    let shown = v2.get(&path).await.json();
    assert_eq!(shown["wrong_codes"], json!(100));
    assert_eq!(text(&shown, "date_locked_until")[..19], text(&event["data"], "locked_until")[..19]);

    for (scope, status) in [("verify", 403), ("admin", 204)] {
        let key = world.with_new_key(&["--scope", scope]).await;
        assert_eq!(key.delete(&path).await.status(), status, "{scope}");
    }
    assert_eq!(v2.get(&path).await.status(), 404);
    v2.begins(&service, &number).await.tells(201, "pending");
    v2.checks_number(&service, &number, &world.twilio().code_for(&number)).await.tells(200, "approved");
}

#[tokio::test]
async fn a_start_refuses_a_lockout_too_short_for_a_stored_test_number() {
    let (world, v2) = World::with_account(Setup::new()).await;
    let numbers = format!("{}/TestNumbers", v2.default_service().await);
    let test = [("Pattern", "+1415555012x"), ("Code", "1234")];
    assert_eq!(v2.post(&numbers, &test).await.status(), 201);
    world.server.stop().await;
    let refused = world.setup.clone().config("otp-lock-timeout", "5m").run().await.exits(64);
    refused.says(["otp-lock-timeout", "1440 guesses a day", "test number"]);
    world.setup.start().await;
}
