//! The pumping guard as verifications meet it.

use std::net::IpAddr;

use super::*;

/// Users in Germany and in the United States, and a prefix in Tajikistan.
const DE: u64 = 4_917_112_300_000;
const US: u64 = 14_155_000_000;
const TJ: u64 = 992_900_000_000;

fn phone(digits: u64) -> PhoneNumber {
    PhoneNumber::from_u64(digits).expect("a number")
}

async fn sends(world: &World, to: u64) -> Result<Verification, Refused> {
    world.begins(asking(phone(to))).await
}

/// How many messages to these numbers pass.
async fn passed(world: &World, numbers: impl IntoIterator<Item = u64>) -> usize {
    let mut passed = 0;
    for to in numbers {
        match sends(world, to).await {
            Ok(_) => passed += 1,
            refused => assert!(rule(&refused).is_some(), "{refused:?}"),
        }
    }
    passed
}

/// A gateway that costs money.
async fn paid(settings: GuardSettings) -> World {
    World::guarded(settings, "Mada", json!({})).await
}

async fn verified(world: &World, to: u64) {
    sends(world, to).await.expect("sent");
    world.ends(VerificationTarget::Number(phone(to)), Ending::Approved).await.expect("verified");
}

async fn explained(world: &World, subject: Dimension) -> Explanation {
    world.guard.explain(Some(world.service.id), subject, None).await.expect("an answer")
}

#[tokio::test]
async fn a_prefix_gets_ten_messages_also_across_a_crash() {
    let world = paid(GuardSettings::default()).await;
    assert_eq!(passed(&world, TJ..TJ + 30).await, 10);
    sends(&world, DE).await.expect("users of other prefixes are served");
    world.guard.flush().await;
    let refused = world.guard.refused_numbers();
    assert!(refused.len() == 20 && refused.iter().all(|refused| refused.rule == Rule::Prefix));
    sends(&world, US).await.expect("the changes are written with the next commit");

    let world = world.crashes().await;
    assert_eq!(world.guard.refused_numbers().len(), 20, "refusals survive a restart");
    assert_eq!(passed(&world, TJ + 40..TJ + 50).await, 0);
    let prefix = explained(&world, Dimension::prefix_of(phone(TJ))).await;
    assert_eq!((prefix.rule.as_deref(), prefix.allowances[0].messages), (Some("prefix"), Some(0)));
    world.advance(3 * HOUR);
    sends(&world, TJ + 60).await.expect("one message is back");
}

#[tokio::test]
async fn an_explanation_is_about_the_client_that_was_refused_or_about_both_kinds() {
    // The last fifth of a country's allowance is for networks with verified numbers.
    let world = paid(GuardSettings { other_countries: Some(10), ..GuardSettings::default() }).await;
    let from = async |n: u64, network: &str| {
        let mut message = plain(phone(TJ + n * 10_000));
        message.client.network = Some(network.parse::<IpAddr>().expect("an address").into());
        world.verifier.send(message).await.expect("an answer").outcome
    };
    let mut n = 0;
    let refused = loop {
        if let Err(Failure::Guard(refused)) = from(n, &format!("198.51.{n}.7")).await {
            break refused;
        }
        n += 1;
    };
    let until = refused.until.map(|until| until.rfc3339_seconds().to_string());
    let about = async |dimension, client: Option<&str>| {
        let client = client.map(|client| client.parse::<IpAddr>().expect("an address").into());
        world.guard.explain(None, dimension, client).await.expect("an answer")
    };
    let of_country = about(Dimension::Country(phone(TJ).region()), None).await;
    assert_eq!((of_country.refused, of_country.rule_for_new_networks.as_deref()), (false, Some("country")));
    assert_eq!(of_country.date_until_for_new_networks, until);
    assert!(of_country.verdict().contains("refused for new networks by the rule country"));
    let of_number = about(Dimension::Number(phone(TJ + n * 10_000)), None).await;
    let client = format!("198.51.{n}.0/24");
    assert_eq!((of_number.refused, of_number.client, of_number.date_until), (true, Some(client), until));
    let of_other = about(Dimension::Number(phone(TJ + 99 * 10_000)), Some("203.0.113.7")).await;
    assert_eq!((of_other.refused, of_other.rule.as_deref()), (true, Some("country")));
}

#[tokio::test(start_paused = true)]
async fn budgets_are_exact_across_crashes_also_of_verified_numbers() {
    let settings = GuardSettings { messages_per_hour: Some(6), ..GuardSettings::default() };
    let mut world = paid(settings).await;
    for message in 0..6 {
        if message % 2 == 0 {
            sends(&world, TJ + message).await.expect("sent");
        } else {
            verified(&world, TJ + message).await;
        }
        let seconds = message % 3;
        world.advance(Duration::from_secs(seconds));
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        world = world.crashes().await;
        assert_eq!(spent(&world), message + 1);
    }
    assert_eq!(rule(&sends(&world, DE).await), Some(Rule::Budget));
}

#[tokio::test]
async fn an_erasure_leaves_what_a_budget_was_charged_also_across_a_crash() {
    let world = paid(GuardSettings { messages_per_hour: Some(6), ..GuardSettings::default() }).await;
    sends(&world, TJ).await.expect("sent");
    world.verifier.erase(Some(world.service.id), phone(TJ), world.author()).await.expect("erased");
    let world = world.crashes().await;
    assert_eq!(spent(&world), 1);
}

#[tokio::test]
async fn a_number_is_known_once_its_verification_is_durable() {
    let world = paid(GuardSettings::default()).await;
    verified(&world, DE).await;
    let world = world.crashes().await;
    sends(&world, US).await.expect("sent");
    world.guard.flush().await;
    world.store.fail_next([StoreFault::Unavailable]);
    let approved = world.ends(VerificationTarget::Number(phone(US)), Ending::Approved).await;
    assert!(matches!(approved, Err(Refused::Unavailable(_))));
    let all = Key::new(None, Dimension::Total);
    world.guard.set_entry(all, Some(EntryAction::KnownOnly), 60, world.author()).await.expect("room");
    sends(&world, DE).await.expect("a known number");
    assert_eq!(passed(&world, [US, DE + 1, DE + 2]).await, 0);
}

#[tokio::test]
async fn what_the_store_refuses_takes_no_allowance() {
    let world = paid(GuardSettings::default()).await;
    sends(&world, DE).await.expect("sent");
    for n in 0..50 {
        // A write of the guard may meet one of them.
        world.store.fail_next([StoreFault::Unavailable; 3]);
        assert!(matches!(sends(&world, TJ + n).await, Err(Refused::Unavailable(_))));
    }
    until(async || sends(&world, US).await.is_ok()).await;
    assert_eq!(passed(&world, TJ + 100..TJ + 130).await, 10);
}

#[tokio::test]
async fn each_step_of_a_workflow_takes_an_allowance_of_its_own() {
    let workflow = json!({ "workflow": "sms:30s,call" });
    let world = World::guarded(GuardSettings::default(), "Mada", workflow).await;
    assert_eq!(passed(&world, TJ..TJ + 6).await, 6);
    world.advance(Duration::from_secs(31));
    world.provider.arrived(10).await;
    // The prefix has no message left for the last two calls.
    sends(&world, US).await.expect("sent");
    world.advance(Duration::from_secs(31));
    world.provider.arrived(12).await;
    let calls = world.provider.handed().into_iter().filter(|handed| handed.channel == Channel::Call);
    let calls: Vec<_> = calls.map(|handed| handed.to.as_u64()).collect();
    assert_eq!((calls.len(), calls[4]), (5, US));
    assert_eq!(passed(&world, TJ + 20..TJ + 30).await, 0);
}

#[tokio::test]
async fn a_step_without_an_allowance_does_not_leave() {
    let settings = GuardSettings { sends_per_number: Some(1), ..GuardSettings::default() };
    let world = World::guarded(settings, "Mada", json!({ "workflow": "sms:30s,call" })).await;
    world.provider.fails_with(ErrorClass::Ambiguous);
    sends(&world, US).await.expect_err("in doubt");
    assert_eq!(world.provider.handed().len(), 1, "the call would follow at once");
}

#[tokio::test]
async fn a_carried_code_is_counted_before_it_leaves() {
    let world = paid(GuardSettings { sends_per_number: Some(1), ..GuardSettings::default() }).await;
    world.provider.hangs(true);
    let (verifier, first) = (world.verifier.clone(), world.carry_code(phone(TJ), "271828"));
    let first = tokio::spawn(async move { verifier.carry(first).await });
    world.provider.arrived(1).await;
    let world = world.crashes().await;
    first.abort();
    let second = world.verifier.carry(world.carry_code(phone(TJ), "314159")).await;
    assert_eq!(rule(&second), Some(Rule::Number));
}

#[tokio::test]
async fn a_call_that_no_gateway_takes_gives_back_its_own_allowance() {
    let workflow = json!({ "workflow": "sms:30s,call" });
    let world = World::guarded(GuardSettings::default(), "Mada", workflow).await;
    assert_eq!(passed(&world, TJ..TJ + 4).await, 4);
    (0..4).for_each(|_| world.provider.fails_with(ErrorClass::Refused));
    world.advance(Duration::from_secs(31));
    world.provider.arrived(8).await;
    let prefix = Dimension::prefix_of(phone(TJ));
    until(async || explained(&world, prefix).await.allowances[0].messages == Some(6)).await;
}

#[tokio::test]
async fn an_unlocked_or_erased_number_gets_messages_again() {
    for is_erased in [false, true] {
        let world = paid(GuardSettings { sends_per_number: Some(1), ..GuardSettings::default() }).await;
        let (service, by) = (world.registry.default_service(), world.author());
        let send = async || world.verifier.send(plain(number(1))).await.expect("an answer").outcome;
        send().await.expect("sent");
        assert!(matches!(send().await, Err(Failure::Guard(_))));
        assert_eq!(world.guard.refused_numbers().len(), 1);
        if is_erased {
            world.verifier.erase(Some(service.id), number(1), by).await.expect("erased");
            assert_eq!(world.guard.refused_numbers(), []);
        } else {
            world.verifier.unlock(&service, number(1), by).await.expect("unlocked");
        }
        send().await.expect("sent");
    }
}

#[tokio::test]
async fn a_message_that_no_gateway_took_costs_nothing() {
    let settings = GuardSettings {
        messages_per_hour: Some(2),
        money_per_day: Some(20_000),
        sends_per_number: Some(2),
        ..GuardSettings::default()
    };
    let world = World::guarded(settings, "Mada", json!({})).await;
    for _ in 0..5 {
        world.provider.fails_with(ErrorClass::Refused);
        assert_eq!(sends(&world, US).await, Err(Refused::Failed(Failure::Gateway)));
    }
    sends(&world, US).await.expect("sent");
    assert_eq!(rule(&sends(&world, DE).await), Some(Rule::Budget), "0.10 dollars are too much");
    sends(&world, US + 1).await.expect("sent");
    assert_eq!(rule(&sends(&world, US + 2).await), Some(Rule::Budget));
}

#[tokio::test]
async fn an_approval_gives_back_half_of_each_message_that_left_and_no_other() {
    let world = paid(GuardSettings::default()).await;
    for is_refused in [false, true, true, false] {
        if is_refused {
            world.provider.fails_with(ErrorClass::Refused);
        }
        assert_eq!(sends(&world, US).await.is_err(), is_refused);
    }
    world.ends(VerificationTarget::Number(phone(US)), Ending::Approved).await.expect("verified");
    let prefix = explained(&world, Dimension::prefix_of(phone(US))).await;
    assert_eq!(prefix.allowances[0].messages, Some(9), "half of each of the two that left");
}

#[tokio::test]
async fn a_message_by_a_dearer_gateway_is_charged_by_parts_before_it_leaves() {
    let settings = GuardSettings { money_per_day: Some(1_000_000), ..GuardSettings::default() };
    let service = json!({ "friendly-name": "Почтовый банк северной столицы" });
    let world = World::guarded(settings, "Simulator;Mada", service).await;
    sends(&world, US).await.expect("sent");
    assert_eq!(spent(&world), 0, "the simulator costs nothing");
    world.provider.fails_with(ErrorClass::Retry);
    sends(&world, US + 1).await.expect("sent by the next gateway");
    let price = spent(&world);
    assert!(price > 0);
    world.provider.fails_with(ErrorClass::Retry);
    world.provider.answers(GatewayName::Mada, [hanging()]);
    // The app's hash makes the Cyrillic text two parts.
    let long = asking_with(phone(US + 2), |message| message.style.app_hash = AppHash::parse("FA+9qCX9VSu"));
    let at_gateway = world.begins_meanwhile(long);
    world.provider.arrived(5).await;
    let world = world.crashes().await;
    at_gateway.abort();
    assert_eq!(spent(&world), 3 * price);
    let world = world.crashes_with(|settings| settings.guard.money_per_day = Some(4 * price - 1)).await;
    world.provider.fails_with(ErrorClass::Retry);
    assert_eq!(rule(&sends(&world, US + 3).await), Some(Rule::Budget), "it does not fit");
}

#[tokio::test]
async fn an_erasure_leaves_the_messages_to_other_numbers_of_its_slot() {
    let (world, slots) = (World::bare().await, SlotHash::new(&server_key()));
    let slot = |n: &u64| slots.of_number(world.service.id, number(*n));
    let beside = (2..5_000).find(|n| slot(n) == slot(&1)).expect("another number of the slot");
    world.begun(number(1)).await;
    world.begun(number(beside)).await;
    world.verifier.erase(Some(world.service.id), number(1), world.author()).await.expect("erased");
    let left = world.verifier.attempts.list(&AttemptQuery::newest(9)).await.expect("a list");
    assert_eq!(left.iter().map(|listed| listed.number).collect::<Vec<_>>(), [number(beside)]);
}

#[tokio::test]
async fn an_erasure_everywhere_finds_a_number_verified_before_the_guard_was_off() {
    let world = paid(GuardSettings::default()).await;
    verified(&world, US).await;
    // The messages are forgotten by then, and the verification is not.
    world.advance(8 * 24 * HOUR);
    let world = world.crashes_with(|settings| settings.guard.mode = Some(Mode::Off)).await;
    for known in [true, false] {
        let erased = world.verifier.erase(None, phone(US), world.author()).await;
        let erasure = erased.expect("erased");
        assert_eq!((erasure.services, erasure.has_erased), (usize::from(known), known));
    }
}

#[tokio::test]
async fn an_erasure_everywhere_finds_a_number_of_a_removed_service() {
    let world = World::new().await;
    world.begun(number(1)).await;
    world.registry.delete_service(world.service.sid).await.expect("removed");
    let erased = world.verifier.erase(None, number(1), world.author()).await.expect("erased");
    assert_eq!((erased.services, erased.has_erased), (1, true));
}

#[tokio::test(start_paused = true)]
async fn an_erasure_everywhere_finds_what_a_commit_in_flight_brings() {
    let world = World::new().await;
    world.store.hold();
    let erasing = async {
        world.store.waiting(1).await;
        world.verifier.erase(None, number(1), world.author()).await
    };
    let releasing = async {
        world.store.waiting(1).await;
        // An erasure that did not wait would have read all records by then.
        settle().await;
        world.store.release();
    };
    let (_, erased, ()) = tokio::join!(world.begins(asking(number(1))), erasing, releasing);
    assert_eq!(erased.map(|erasure| erasure.services).expect("erased"), 1);
}

/// A message as the compatible routes ask for it.
fn plain(number: PhoneNumber) -> Box<Outgoing> {
    Box::new(Outgoing::new(NumberKey::new(ServiceId::DEFAULT, number), Channel::Sms))
}
