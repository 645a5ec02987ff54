//! The choice of the gateway, numbers that get no message, and codes of other systems.

use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn a_test_number_reaches_no_gateway_and_has_the_limits_of_others() {
    let world = World::with(json!({ "max-checks": 1 })).await;
    let (pattern, code) = (number(100).e164(), "445566".to_owned());
    let test = TestNumber { pattern, code, expires: START.plus(HOUR), force: false };
    world.registry.put_test_number(world.service.sid, test).await.expect("a test number");
    let begun = world.begun(number(100)).await;
    let world = world.crashes().await;
    let checked = world.checks(VerificationTarget::Sid(begun.sid), None).await.expect("checked");
    assert_eq!(checked.status, Status::MaxAttemptsReached);
    let refused = world.checks(VerificationTarget::Sid(begun.sid), Code::parse("445566")).await;
    assert!(matches!(refused, Err(Refused::NoChecksLeft { .. })), "{refused:?}");
    world.advance(Duration::from_secs(600));
    let begun = world.begun(number(100)).await;
    let checked = world.checks(VerificationTarget::Sid(begun.sid), Code::parse("445566")).await;
    assert_eq!(checked.expect("checked").status, Status::Approved);
    assert_eq!(world.provider.handed().len(), 0);
    // After its end it is an ordinary number.
    world.advance(Duration::from_secs(3_600));
    world.begun(number(100)).await;
    assert_eq!(world.provider.handed().len(), 1);
}

#[tokio::test]
async fn a_code_of_the_caller_never_goes_to_a_gateway_that_makes_its_own() {
    let fields = json!({ "custom-code": true });
    let bringing = || asking_with(number(1), |message| message.supplied_code = Code::parse("70707070"));
    let world = World::routing("TwilioVerify;Mada", fields.clone()).await;
    let begun = world.begins(bringing()).await.expect("begun");
    let handed: Vec<_> = world.provider.handed().into_iter().map(|handed| (handed.by, handed.code)).collect();
    assert_eq!(handed, [(GatewayName::Mada, "70707070".to_owned())]);
    let checked = world.checks(VerificationTarget::Sid(begun.sid), Code::parse("70707070")).await;
    assert_eq!(checked.expect("checked").status, Status::Approved);
    let world = World::routing("TwilioVerify", fields).await;
    let refused = world.begins(bringing()).await;
    assert!(matches!(refused, Err(Refused::FeatureOff(_))), "{refused:?}");
    assert_eq!(world.provider.handed().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_service_gives_up_a_silent_gateway_within_its_own_budget() {
    let world = World::routing("Mada", json!({ "send-budget": 5 })).await;
    world.provider.hangs(true);
    let silent = timeout(Duration::from_secs(6), world.begins(asking(number(1)))).await;
    let silent = silent.expect("before the server's own budget");
    assert!(silent.is_err(), "{silent:?}");
    world.provider.hangs(false);
    world.begins(asking(number(1))).await.expect("begun");
}

#[tokio::test]
async fn a_country_has_the_gateway_that_the_service_chose_for_it() {
    let world = World::routing("Simulator;Mada", json!({})).await;
    let mada = gateway_sid(GatewayName::Mada);
    let germany = "DE".parse().expect("a country");
    world.registry.create_messaging(world.service.sid, germany, mada).await.expect("configured");
    let german = PhoneNumber::from_u64(4_915_112_345_678).expect("a mobile number");
    world.begun(number(1)).await;
    world.begun(german).await;
    let by: Vec<_> = world.provider.handed().iter().map(|handed| (handed.to, handed.by)).collect();
    assert_eq!(by, [(number(1), GatewayName::Simulator), (german, GatewayName::Mada)]);
    let results = async || world.results(None).await.expect("results");
    until(async || results().await.iter().map(|of| of.messages).sum::<u64>() == 2).await;
    let ruled = results().await.into_iter().filter(|of| of.by_rule).map(|of| (of.country, of.gateway));
    assert_eq!(ruled.collect::<Vec<_>>(), [(Some(germany), GatewayName::Mada)]);
}

#[tokio::test]
async fn a_service_keeps_texts_from_landlines_whatever_the_guard_says() {
    let off = Some(Mode::Off);
    let guard = GuardSettings { number_types: off, landlines: off, ..GuardSettings::default() };
    let world = World::guarded(guard, "Simulator", json!({ "skip-sms-to-landlines": true })).await;
    let landline = PhoneNumber::from_u64(493_090_182_000).expect("a number in Berlin");
    assert_eq!(rule(&world.begins(asking(landline)).await), Some(Rule::Landline));
    assert_eq!(world.provider.handed().len(), 0);
    let call = asking_with(landline, |message| message.channel = Channel::Call);
    world.begins(call).await.expect("a call is possible");
}

#[tokio::test]
async fn with_voice_a_landline_is_called_at_once() {
    let world = World::set_up(|settings| settings.delivery.voice = true).await;
    world.begun(PhoneNumber::from_u64(493_090_182_000).expect("a number in Berlin")).await;
    assert_eq!(world.provider.handed()[0].channel, Channel::Call);
}

#[tokio::test]
async fn a_number_is_verified_by_the_last_message_that_may_have_left() {
    let world = World::with(json!({})).await;
    world.begun(number(1)).await;
    let call = asking_with(number(1), |message| message.channel = Channel::Call);
    world.begins(call).await.expect("begun");
    world.provider.fails_with(ErrorClass::Refused);
    world.begins(asking(number(1))).await.expect_err("refused by the gateway");
    let verified = world.ends(VerificationTarget::Number(number(1)), Ending::Approved).await;
    assert_eq!(verified.expect("verified").channel, Channel::Call);
    let listed = world.verifier.attempts.list(&AttemptQuery::newest(9)).await.expect("a list");
    assert_eq!(listed.iter().map(|listed| listed.converted).collect::<Vec<_>>(), [false, true, false]);
}

#[tokio::test]
async fn a_second_carried_code_goes_by_another_gateway_while_the_first_lives() {
    let world = World::routing("Mada;Http", json!({})).await;
    for (to, code, later) in [(1, "271828", 0), (1, "314159", 0), (2, "271828", 0), (2, "314159", 600)] {
        world.advance(Duration::from_secs(later));
        world.verifier.carry(world.carry_code(number(to), code)).await.expect("carried");
    }
    let ways: Vec<_> = world.provider.handed().iter().map(|handed| handed.by).collect();
    assert_eq!(ways, [GatewayName::Mada, GatewayName::Http, GatewayName::Mada, GatewayName::Mada]);
}
