//! Events: each exactly once, in the order of their causes.

use super::*;

#[tokio::test]
async fn a_verification_tells_its_life_in_order_and_everything_once() {
    let world = World::new().await;
    world.has_webhook().await;
    let tags = BTreeMap::from([("order".to_owned(), "17".to_owned())]);
    let begins = asking_with(number(1), |message| message.tags = tags.clone());
    let target = VerificationTarget::Sid(world.begins(begins).await.expect("begun").sid);
    world.begun(number(1)).await;
    assert_eq!(world.checks(target, None).await.expect("checked").status, Status::Pending);
    let code = world.provider.code_for(number(1));
    world.checks(target, Some(code.clone())).await.expect("checked");
    assert!(world.checks(target, Some(code)).await.is_err());
    assert!(world.ends(target, Ending::Canceled).await.is_err());
    let expected =
        ["verification.created", "verification.sent", "verification.sent", "verification.approved"];
    assert_eq!(world.told().await, expected);
    let is_tagged = |event: &Event| event.body.contains("\"tags\":{\"order\":\"17\"}");
    assert!(world.events().await.iter().all(is_tagged), "those of its beginning");
}

#[tokio::test]
async fn a_cancel_spent_checks_and_a_failure_are_told() {
    let world = World::new().await;
    world.has_webhook().await;
    let begun = world.begun(number(1)).await;
    world.ends(VerificationTarget::Sid(begun.sid), Ending::Canceled).await.expect("canceled");
    assert_eq!(world.told().await[2..], ["verification.canceled"]);
    world.advance(SECOND);
    let begun = world.begun(number(2)).await;
    for _ in 0..5 {
        world.checks(VerificationTarget::Sid(begun.sid), None).await.expect("checked");
    }
    assert!(world.checks(VerificationTarget::Sid(begun.sid), None).await.is_err());
    assert_eq!(world.told().await[5..], ["verification.max_attempts_reached"]);
    world.advance(SECOND);
    world.provider.fails_with(ErrorClass::BadNumber);
    assert!(world.begins(asking(number(3))).await.is_err());
    assert_eq!(world.told().await[6..], ["verification.failed"]);
}

#[tokio::test]
async fn an_approval_before_the_gateways_answer_is_told_in_order_without_expiry() {
    let world = World::new().await;
    world.has_webhook().await;
    world.provider.hangs(true);
    let begins = world.begins_meanwhile(asking(number(1)));
    world.provider.arrived(1).await;
    let code = world.provider.code_for(number(1));
    let checked = world.checks(VerificationTarget::Number(number(1)), Some(code)).await.expect("checked");
    assert_eq!(checked.status, Status::Approved);
    world.provider.hangs(false);
    begins.await.expect("no panic").expect("begun");
    let life = ["verification.created", "verification.sent", "verification.approved"];
    assert_eq!(world.told().await, life);
    assert_eq!(world.expected_ends().await, 0, "it is over");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_approved_expires_ten_seconds_later_also_after_a_crash() {
    let world = World::new().await;
    world.has_webhook().await;
    world.begun(number(1)).await;
    let approved = world.begun(number(2)).await;
    let code = world.provider.code_for(number(2));
    let webhook = world.registry.service(&world.service.sid).expect("it").webhooks[0].sid;
    let switches = |status| {
        let fields = WebhookFields { status: Some(status), ..WebhookFields::default() };
        world.registry.update_webhook(world.service.sid, webhook, fields)
    };
    switches(WebhookStatus::Disabled).await.expect("disabled");
    world.checks(VerificationTarget::Sid(approved.sid), Some(code)).await.expect("checked");
    switches(WebhookStatus::Enabled).await.expect("enabled");
    assert_eq!(world.told().await.len(), 4);
    assert_eq!(world.expected_ends().await, 1);
    let world = world.crashes().await;
    world.advance(world.service.settings.code_life + 9 * SECOND);
    tokio::time::sleep(15 * SECOND).await;
    assert_eq!(world.told().await.len(), 4, "nothing is told twice, and the end not too early");
    world.advance(2 * SECOND);
    tokio::time::sleep(15 * SECOND).await;
    assert_eq!(world.told().await[4..], ["verification.expired"], "the other was approved");
    assert_eq!(world.expected_ends().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_further_message_moves_the_end_that_is_told() {
    let world = World::with(json!({ "code-life": "30s" })).await;
    let world = world.crashes_with(|settings| settings.delivery.sms_retry = true).await;
    world.has_webhook().await;
    world.begun(number(1)).await;
    world.provider.fails_with(ErrorClass::Retry);
    world.begun(number(2)).await;
    world.advance(24 * SECOND);
    world.begun(number(1)).await;
    world.provider.arrived(4).await;
    let left = world.provider.handed()[2..].iter().map(|message| message.valid_for).min();
    assert!(left >= Some(15 * SECOND), "asked for again, or planned: {left:?}");
    world.advance(17 * SECOND);
    tokio::time::sleep(15 * SECOND).await;
    assert_eq!(world.expected_ends().await, 2, "the ends of the first messages are over");
    world.advance(24 * SECOND);
    tokio::time::sleep(15 * SECOND).await;
    assert_eq!(world.told().await[5..], ["verification.expired"; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_report_before_its_gateways_answer_waits_for_that_answer() {
    let world = World::new().await;
    world.has_webhook().await;
    let begun = world.begun(number(1)).await;
    let first = world.verifier.sealer.open_attempt(&begun.attempts[0].sid).expect("an attempt");
    world.provider.hangs(true);
    let begins = world.begins_meanwhile(asking(number(1)));
    world.provider.arrived(2).await;
    let attempt = AttemptId { attempt: first.attempt + 1, ..first };
    let (message_id, status) = ("Simulator-2".to_owned(), ReceiptStatus::Delivered);
    let receipt = Receipt { attempt, gateway: None, message_id, status, code: None, class: None, said: None };
    let reported = tokio::time::timeout(2 * SECOND, world.verifier.receive(receipt)).await;
    assert!(reported.is_err(), "an answer to a report that is not recorded");
    // The provider has hung up.
    world.provider.hangs(false);
    begins.await.expect("no panic").expect("begun");
    tokio::time::sleep(SECOND).await;
    assert_eq!(world.told().await[2..], ["verification.sent", "message.delivered"]);
}

#[tokio::test]
async fn a_code_entered_during_a_further_message_counts_for_the_one_before() {
    let world = World::routing("Simulator;Mada", json!({})).await;
    world.begun(number(1)).await;
    world.provider.hangs(true);
    let further = world.begins_meanwhile(asking(number(1)));
    world.provider.arrived(2).await;
    let code = world.provider.code_for(number(1));
    world.checks(VerificationTarget::Number(number(1)), Some(code)).await.expect("approved");
    world.advance(SECOND);
    world.provider.hangs(false);
    let _ = further.await;
    let learned = |world: &World| {
        world.advance(Duration::from_secs(3_600));
        world.history.publish();
        let of = |name| world.history.results.conversions(name, world.shards.clock().now());
        [GatewayName::Simulator, GatewayName::Mada].map(of)
    };
    let live = learned(&world);
    assert_eq!(live, [[("sms", 100)], [("sms", 0)]]);
    assert_eq!(learned(&world.crashes().await), live);
}
