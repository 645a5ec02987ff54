//! The refusals of verifications, with Twilio's codes.

use std::time::Duration;

use onceward::registry::TextError;
use onceward::verification::numbers::Refusal;
use onceward::verification::verify::Refused;
use onceward_testkit::{THEN, V2World, is_error};

#[tokio::test]
async fn every_refusal_has_its_status_its_number_and_its_time() {
    let in_a_while = THEN.plus(Duration::from_millis(29_001));
    for (refused, status, code, retry_after) in [
        (Refused::NotFound, 404, 20404, None),
        (Refused::Invalid("`Channel`: it is not served".to_owned()), 400, 60200, None),
        (Refused::NoChecksLeft { until: in_a_while }, 429, 60202, Some("30")),
        (Refused::NoSendsLeft { until: in_a_while }, 429, 60203, Some("30")),
        (Refused::TooMany { until: THEN }, 429, 20429, Some("1")),
        (Refused::TooSoon { until: in_a_while }, 429, 20429, Some("30")),
        (Refused::FeatureOff("no"), 403, 60204, None),
        (Refused::ChannelOff, 400, 60223, None),
        (Refused::Text(TextError::MissingSubstitution("door".to_owned())), 400, 60224, None),
        (Refused::Text(TextError::TooManyValues), 400, 60200, None),
        (Refused::Landline(None), 403, 60205, None),
        (Refused::Concurrent, 429, 60212, Some("1")),
        (Refused::Blocked, 403, 60410, None),
        (Refused::Country, 403, 60605, None),
        (Refused::OtherRequest, 422, 20422, None),
        (Refused::StillAnswering, 409, 20409, Some("1")),
        (Refused::Ended, 409, 20409, None),
        (Refused::GatewayFailed, 502, 20502, None),
        (Refused::OutOfService { until: in_a_while }, 502, 20502, Some("30")),
        (Refused::Unavailable(Refusal::StoreUnavailable), 503, 20503, Some("1")),
        (Refused::Unavailable(Refusal::NumberBusy), 429, 20429, Some("1")),
    ] {
        let world = V2World::new().await;
        world.fake.refuse(refused.clone());
        let form = [("To", "+14155552671"), ("Channel", "sms")];
        let reply = world.post(&world.below("/Verifications"), &form).await;
        is_error(&reply, status, code);
        assert_eq!(reply.header("x-onceward-retry-after"), retry_after, "{refused:?}");
        assert_eq!(reply.header("retry-after"), None, "{refused:?}");
        if let Some(seconds) = retry_after.filter(|_| status != 503) {
            assert!(
                reply.body.contains(&format!("ry again in {seconds} s.")) || reply.body.contains("shortly"),
                "{}",
                reply.body
            );
        }
    }
}
