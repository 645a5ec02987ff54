//! Events: each once, and in the order in which things happened.

use super::world::{World, asking, number};
use crate::gateway::ErrorClass;
use crate::verify::{Ending, Status, Target, Verifications as _};

#[tokio::test(start_paused = true)]
async fn a_verification_tells_its_life_in_order_and_everything_once() {
    let world = World::new().await;
    world.has_webhook().await;
    let begun = world.begun(number(1)).await;
    world.begun(number(1)).await;
    assert_eq!(world.checks(Target::Sid(begun.sid), None).await.expect("checked").status, Status::Pending);
    let code = world.desk.code_for(number(1));
    world.checks(Target::Sid(begun.sid), Some(code.clone())).await.expect("checked");
    assert!(world.checks(Target::Sid(begun.sid), Some(code)).await.is_err());
    assert!(world.ends(Target::Sid(begun.sid), Ending::Canceled).await.is_err());
    let expected =
        ["verification.created", "verification.sent", "verification.sent", "verification.approved"];
    assert_eq!(world.told(5).await, expected);
}

#[tokio::test(start_paused = true)]
async fn ends_of_every_kind_are_told() {
    let world = World::new().await;
    world.has_webhook().await;
    let begun = world.begun(number(1)).await;
    world.ends(Target::Sid(begun.sid), Ending::Canceled).await.expect("canceled");
    assert_eq!(world.told(3).await[2..], ["verification.canceled"]);
    let begun = world.begun(number(2)).await;
    for _ in 0..5 {
        world.checks(Target::Sid(begun.sid), None).await.expect("checked");
    }
    assert!(world.checks(Target::Sid(begun.sid), None).await.is_err());
    assert_eq!(world.told(6).await[5..], ["verification.max_attempts_reached"]);
    world.desk.fails_with(ErrorClass::BadNumber);
    assert!(world.begins(asking(number(3))).await.is_err());
    assert_eq!(world.told(8).await[6..], ["verification.failed"]);
}

#[tokio::test]
async fn a_code_that_is_faster_than_its_gateways_answer_is_told_after_its_beginning_and_never_expires() {
    let world = World::new().await;
    world.has_webhook().await;
    world.desk.hangs(true);
    let (verifying, service) = (world.verifying.clone(), world.service.id);
    let begins = tokio::spawn(async move { verifying.begin(service, asking(number(1))).await });
    world.desk.arrived(1).await;
    let code = world.desk.code_for(number(1));
    let checked = world.checks(Target::Number(number(1)), Some(code)).await.expect("checked");
    assert_eq!(checked.status, Status::Approved);
    world.desk.hangs(false);
    begins.await.expect("no panic").expect("begun");
    let life = ["verification.created", "verification.sent", "verification.approved"];
    assert_eq!(world.told(3).await, life);
    assert!(!world.expects_an_end(&checked), "it is over");
}

#[tokio::test]
async fn of_two_messages_at_the_same_time_the_beginning_is_told_once() {
    let world = World::new().await;
    world.has_webhook().await;
    world.desk.hangs(true);
    let begins = [1, 2].map(|_| {
        let (verifying, service) = (world.verifying.clone(), world.service.id);
        tokio::spawn(async move { verifying.begin(service, asking(number(1))).await })
    });
    world.desk.arrived(2).await;
    world.desk.hangs(false);
    for begun in begins {
        begun.await.expect("no panic").expect("begun");
    }
    assert_eq!(world.told(3).await, ["verification.created", "verification.sent", "verification.sent"]);
}
