//! Rate limits: the requests that count, and those that are given back.

use super::*;

async fn limited(settings: Value) -> World {
    let world = World::with(settings).await;
    add_limit(&world).await;
    world
}

/// One request of each device in an hour.
async fn add_limit(world: &World) {
    let service = world.service.sid;
    let limit = world.registry.create_rate_limit(service, "device".to_owned(), None).await.expect("a limit");
    world.registry.create_bucket(service, limit.sid, 1, 3_600).await.expect("a bucket");
}

fn from_device(to: PhoneNumber, value: &str) -> Outgoing {
    let rate_limits = BTreeMap::from([("device".to_owned(), value.to_owned())]);
    Outgoing { rate_limits, ..asking(to) }
}

#[tokio::test]
async fn a_send_that_reached_no_recipient_is_given_back() {
    let world = limited(json!({ "max-sends": 1 })).await;
    world.begun(number(1)).await;
    assert!(matches!(
        world.begins(from_device(number(1), "a")).await,
        Err(Refused::Failed(Failure::Limited(_)))
    ));
    world.provider.fails_with(ErrorClass::BadNumber);
    assert_eq!(world.begins(from_device(number(2), "a")).await, Err(Refused::Failed(Failure::BadNumber)));
    world.begins(from_device(number(3), "a")).await.expect("it was not counted so far");
    assert_eq!(rule(&world.begins(from_device(number(4), "a")).await), Some(Rule::RateLimit));
    // A message that may have left stays counted.
    world.provider.fails_with(ErrorClass::Ambiguous);
    let _ = world.begins(from_device(number(5), "b")).await;
    assert_eq!(rule(&world.begins(from_device(number(6), "b")).await), Some(Rule::RateLimit));
}

#[tokio::test]
async fn beyond_its_limit_a_new_value_is_refused_and_a_known_one_counts() {
    let world = limited(json!({})).await;
    (1..MOST_RECORDS).for_each(|_| world.guard.capacity.count(world.service.id, true));
    world.begins(from_device(number(1), "a")).await.expect("room");
    let refused = world.begins(from_device(number(2), "b")).await;
    assert!(
        matches!(refused, Err(Refused::Unavailable(Refusal::TableFull { table: LimitedTable::Counters }))),
        "{refused:?}"
    );
    assert_eq!(rule(&world.begins(from_device(number(2), "a")).await), Some(Rule::RateLimit));
}

#[tokio::test]
async fn an_unknown_rate_limit_is_named_unless_its_name_may_be_a_number() {
    let world = limited(json!({})).await;
    for (name, told) in [("session", "session"), ("+14155552671", "+1415*****71"), ("u4155552671", "***")] {
        let rate_limits = BTreeMap::from([(name.to_owned(), "a".to_owned())]);
        let Err(Refused::Invalid(words)) = world.begins(Outgoing { rate_limits, ..asking(number(1)) }).await
        else {
            panic!("not refused");
        };
        assert_eq!(words, format!("RateLimits: this service has no rate limit {told:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn with_six_budgets_a_rate_limit_and_a_key_a_send_makes_two_commits() {
    let budgets = GuardSettings {
        messages_per_hour: Some(6),
        messages_per_day: Some(6),
        money_per_day: Some(1_000_000),
        ..GuardSettings::default()
    };
    let set_up = |settings: &mut Settings| {
        settings.guard = budgets.clone();
        let shop = ServiceSettings::default().with(given(json!({ "friendly-name": "Shop" })));
        let (name, shop) = ("shop".to_owned(), shop.expect("settings"));
        settings.registry.services.push(ConfiguredService { name, settings: shop, guard: budgets });
    };
    let mut world = World::of("Mada", Value::Null, set_up).await;
    world.service = world.registry.find_service_exact("shop").expect("the service");
    add_limit(&world).await;
    let before = world.store.commits();
    let once = asking_once(number(1), "a").once;
    world.begins(Outgoing { once, ..from_device(number(1), "a") }).await.expect("begun");
    assert_eq!(world.store.commits() - before, 2, "one before the message leaves, one after");
    let spent: Vec<_> = world.guard.reading().2.iter().map(|budget| budget.spent > 0).collect();
    assert_eq!(spent, [true; 6]);
}
