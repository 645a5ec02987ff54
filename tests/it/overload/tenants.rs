//! A service that asks for more than its share: it is refused, and the other services are served.

use serde_json::Value;

use crate::support::documented::sent;
use crate::support::{Setup, V2, World, told};

#[tokio::test]
async fn a_flood_of_numbers_of_one_service_refuses_that_service_only() {
    let world = World::of(V2::account(Setup::new().config("max-numbers", 20))).await;
    let v2 = V2::of(&world);
    let (flooded, other) = (v2.service(&[]).await, v2.service(&[]).await);
    for _ in 0..20 {
        assert_eq!(v2.begins(&flooded, &world.number()).await.status(), 201);
    }
    let refused = v2.begins(&flooded, &world.number()).await;
    assert_eq!(told(&refused), (503, "20503".to_owned()), "{}", refused.text());
    let seconds: u32 = refused.header("retry-after").parse().expect("a number of seconds");
    assert!((60..=3_600).contains(&seconds), "the codes of the service live for 10 minutes: {seconds}");
    let exhausted = |event: &Value| {
        event["message"].as_str().is_some_and(|message| message.starts_with("number capacity exhausted"))
    };
    let event = world.server.output().event(exhausted).await.expect("a line about it");
    assert!(event["service"].as_u64().is_some_and(|service| service > 0), "{event}");

    assert_eq!(v2.begins(&other, &world.number()).await.status(), 201);
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));

    // The same holds after a restart.
    let world = world.restart_after_kill().await;
    let v2 = V2::of(&world);
    assert_eq!(v2.begins(&flooded, &world.number()).await.status(), 503);
    assert_eq!(v2.begins(&other, &world.number()).await.status(), 201);
}
