mod classify;

use super::*;
use crate::clock::ManualClock;

#[test]
fn a_refused_account_is_not_ready_until_a_send_works_or_a_minute_passes() {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000)));
    let health = AccountHealth::new(clock.clone(), |_| true);
    let refused = || Err::<(), _>(error(CodeClass::Account));
    assert_eq!(health.readiness(), Ok(()));

    let _ = health.learn(refused());
    let reason = health.readiness().expect_err("not ready");
    assert_eq!(reason, "Mada refused the account (class Configuration, code 14)");
    let _ = health.learn(Ok(()));
    assert_eq!(health.readiness(), Ok(()));

    let _ = health.learn(refused());
    clock.advance(Duration::from_millis(59_999));
    assert!(health.readiness().is_err());
    clock.advance(Duration::from_millis(1));
    assert_eq!(health.readiness(), Ok(()));
}

#[test]
fn what_one_message_met_says_nothing_about_the_account() {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000)));
    let health = AccountHealth::new(clock, |_| true);
    for class in [CodeClass::Configuration, CodeClass::Down, CodeClass::Busy] {
        let _ = health.learn(Err::<(), _>(error(class)));
        assert_eq!(health.readiness(), Ok(()));
    }
}

#[test]
fn the_codes_of_a_provider_alone_decide_whether_its_account_is_refused() {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000)));
    let health = AccountHealth::new(clock.clone(), |code| code == 13);
    let _ = health.learn(Err::<(), _>(error(CodeClass::Account)));
    assert_eq!(health.readiness(), Ok(()));
    let health = AccountHealth::new(clock, |code| code == 14);
    let _ = health.learn(Err::<(), _>(error(CodeClass::Account)));
    assert!(health.readiness().is_err());
}

fn error(class: CodeClass) -> GatewayError {
    class.error(GatewayName::Mada, Some(14), "refused the account".to_owned())
}
