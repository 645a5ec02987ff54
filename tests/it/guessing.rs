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
async fn a_lockout_is_shown_until_the_used_up_verification_ends() {
    let (world, v2, service) = World::with_service(Setup::new()).await;
    for by_id in [true, false] {
        let number = world.number();
        let begun = v2.begins(&service, &number).await;
        for _ in 0..5 {
            let checked = if by_id {
                v2.checks(&service, &sid(&begun), NO_CODE).await
            } else {
                v2.checks_number(&service, &number, NO_CODE).await
            };
            assert_eq!(checked.status(), 200);
        }
        let shown = v2.get(&format!("{service}/Lockouts/{number}")).await.json();
        let moment = |date: &str| humantime::parse_rfc3339(date).expect("a time");
        let locked = moment(text(&shown, "date_locked_until"));
        let created = moment(text(&begun.json(), "date_created"));
        let seconds = locked.duration_since(created).expect("later").as_secs();
        assert!((599..=601).contains(&seconds), "{seconds} s");
    }
}

#[tokio::test]
async fn a_fixed_lockout_locks_a_number_for_all_clients_as_the_contract_says() {
    let (world, v2) = World::with_account(Setup::new()).await;
    let of_contract = v2.default_service().await;
    for service in [&of_contract, &v2.service(&[("Lockout", "1800")]).await] {
        let number = world.number();
        let owners = sid(&v2.begins(service, &number).await);
        let code = world.twilio().code_for(&number);
        for _ in 0..4 {
            v2.checks_number(service, &number, &wrong(&code)).await.tells(200, "pending");
        }
        v2.checks_number(service, &number, &wrong(&code)).await.tells(200, "max_attempts_reached");
        v2.has_no_check_left(service, &number, &owners, &code).await;
        if *service == of_contract {
            world.send(&number).await.expects(locked(&number, 30));
            world.verify(&number, &code).await.expects(locked(&number, 30));
        }
    }
}

#[tokio::test]
async fn a_canceled_verification_is_fetched_until_it_would_have_expired() {
    let days = Days::with(Setup::new()).await;
    let v2 = V2::of(&days.world);
    let service = v2.service(&[("CodeLife", "60")]).await;
    let number = days.world.number();
    let begun = sid(&v2.begins(&service, &number).await);
    let path = format!("{service}/Verifications/{begun}");
    let canceled = v2.post(&path, &[("Status", "canceled")]).await.tells(200, "canceled");
    let fetched = v2.get(&path).await.tells(200, "canceled");
    assert_eq!(fetched.json()["send_code_attempts"], canceled.json()["send_code_attempts"]);
    // For everything else it is over.
    let code = days.world.twilio().code_for(&number);
    assert_eq!(v2.checks(&service, &begun, &code).await.status(), 404);
    assert_eq!(v2.post(&path, &[("Status", "approved")]).await.status(), 404);
    assert_eq!(v2.get(&format!("{service}/Verifications/{number}")).await.status(), 404);
    let (_days, v2) = days.at(61).await;
    assert_eq!(v2.get(&path).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_administration_ends_a_hard_stop_and_a_webhook_is_told() {
    let (world, v2) = World::with_account(Setup::new().config("webhook-private-addresses", true)).await;
    let service = v2.service(&[("MaxChecks", "100")]).await;
    let receiver = Receiver::start();
    let hook = v2.webhook(&service, "number.locked", &receiver.url).await;
    let number = world.number();
    let path = format!("{service}/Lockouts/{number}");
    assert_eq!(v2.get(&path).await.status(), 404, "a number without a wrong code");
    assert_eq!(v2.delete(&path).await.status(), 404);
    guesses(&v2, &service, &number, 99).await;
    let counted = v2.get(&path).await.json();
    assert_eq!((&counted["wrong_codes"], &counted["date_locked_until"]), (&json!(99), &json!(null)));
    v2.checks_number(&service, &number, NO_CODE).await;
    stopped_for_days(&v2, &service, &number, 29..=30).await;

    let event = receiver.next(text(&hook, "secret"));
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
async fn a_test_number_has_the_limits_of_real_ones() {
    let (_world, v2, service) = World::with_service(Setup::new()).await;
    let test = [("Pattern", "+1415555012x"), ("Code", "4711")];
    assert_eq!(v2.post(&format!("{service}/TestNumbers"), &test).await.status(), 201);
    let number = "+14155550123";
    guesses(&v2, &service, number, 5).await;
    v2.checks_number(&service, number, "4711").await.tells(429, "60202");
    v2.begins(&service, number).await.tells(429, "60202");
    let other = "+14155550124";
    for _ in 0..5 {
        assert_eq!(v2.begins(&service, other).await.status(), 201);
    }
    v2.begins(&service, other).await.tells(429, "60203");
    v2.checks_number(&service, other, "4711").await.tells(200, "approved");
}

#[tokio::test]
async fn combinations_that_leave_too_many_guesses_are_refused() {
    let (_world, v2) = World::with_account(Setup::new()).await;
    let weak = [("FriendlyName", "Weak"), ("CodeLength", "4"), ("MaxChecks", "100"), ("Lockout", "1")];
    let refused = v2.post("/Services", &weak).await.tells(400, "60200");
    refused.says(["Lockout", "100", "4 characters", "8640000 guesses a day"]);
    let strong = v2.service(&[("Lockout", "300"), ("MaxChecks", "5")]).await;
    assert_eq!(v2.post(&strong, &[("CodeLength", "8")]).await.status(), 200);
    // A code of the caller may have four digits.
    for weaker in [("CodeLength", "4"), ("CustomCodeEnabled", "true")] {
        v2.post(&strong, &[weaker]).await.tells(400, "60200");
    }
    // A lockout of the other kinds is not a time.
    v2.service(&[("CodeLength", "4"), ("MaxChecks", "100")]).await;
}

#[tokio::test]
async fn a_short_code_of_a_test_number_counts_among_the_guesses() {
    let (_world, v2) = World::with_account(Setup::new()).await;
    let service = v2.service(&[("CodeLength", "10"), ("MaxChecks", "100"), ("Lockout", "1")]).await;
    let numbers = format!("{service}/TestNumbers");
    let test = |code| [("Pattern", "+1415555012x"), ("Code", code)];
    v2.post(&numbers, &test("1234")).await.tells(400, "60200").says(["8640000 guesses a day"]);
    assert_eq!(v2.post(&numbers, &test("1234567890")).await.status(), 201);

    let safe = v2.service(&[("CodeLength", "10"), ("Lockout", "3600")]).await;
    assert_eq!(v2.post(&format!("{safe}/TestNumbers"), &test("1234")).await.status(), 201);
    for weaker in [("Lockout", "60"), ("MaxChecks", "100")] {
        v2.post(&safe, &[weaker]).await.tells(400, "60200").says(["test number"]);
    }
    assert_eq!(v2.post(&safe, &[("FriendlyName", "Other")]).await.status(), 200);
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

#[tokio::test]
async fn test_numbers_take_no_room_and_other_records_end_with_their_code() {
    let setup = Setup::new().config("max-numbers", 10);
    let days = Days::with(setup).await;
    let v2 = V2::of(&days.world);
    let service = v2.service(&[("CodeLife", "60")]).await;
    let test = [("Pattern", "+1415555012x"), ("Code", "471100")];
    assert_eq!(v2.post(&format!("{service}/TestNumbers"), &test).await.status(), 201);
    for digit in 0..10 {
        v2.begins(&service, &format!("+1415555012{digit}")).await.expects_status(201);
    }
    let held = async |world: &World| world.server.readiness().await.json()["data"]["numbers"]["held"].clone();
    assert_eq!(held(&days.world).await, 0);
    for _ in 0..10 {
        assert_eq!(v2.begins(&service, &days.world.number()).await.status(), 201);
    }
    assert_eq!(held(&days.world).await, 10);
    assert_eq!(v2.begins(&service, &days.world.number()).await.status(), 503);
    let (days, _) = days.at(61).await;
    until("every number forgotten", || held(&days.world), |held| *held == 0).await;
}
