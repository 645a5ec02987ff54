//! Events: each once, and in the order in which things happened.

use super::world::{World, number};
use crate::gateway::ErrorClass;
use crate::verify::{Ending, Status, Target};

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
    assert!(world.begins(super::world::asking(number(3))).await.is_err());
    assert_eq!(world.told(8).await[6..], ["verification.failed"]);
}
