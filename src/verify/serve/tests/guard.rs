//! The pumping guard as verifications meet it.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;

use super::world::{START, World, asking, number};
use crate::audit::Actor;
use crate::config::GuardSettings;
use crate::domain::{PhoneNumber, Region, ServiceId, Timestamp};
use crate::gateway::ErrorClass;
use crate::guard::operator::exact;
use crate::guard::{
    ClientSignals, DecisionQuery, Dimension, Effect, EntryAction, Key, Mode, PumpingGuard, Rule,
};
use crate::numbers::{NumberKey, SendOutcome, SendRequest};
use crate::template::MessageStyle;
use crate::verify::{BeginRequest, Ending, Refused, Verification, VerificationTarget};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Users in Germany and in the United States, and a prefix in Tajikistan.
const DE: u64 = 4_917_112_300_000;
const US: u64 = 14_155_000_000;
const TJ: u64 = 992_900_000_000;

const PREMIUM: u64 = 19_002_341_234;

fn phone(digits: u64) -> PhoneNumber {
    PhoneNumber::from_u64(digits).expect("a number")
}

fn guard(world: &World) -> &PumpingGuard {
    world.verifying.0.guard.as_ref().expect("a guard")
}

async fn sends(world: &World, to: u64) -> Result<Verification, Refused> {
    world.begins(asking(phone(to))).await
}

/// Fifteen days with 20 users each, of whom four in five verify.
async fn learned(settings: GuardSettings) -> World {
    let world = World::guarded(settings, "Simulator", json!({})).await;
    for user in 0..300 {
        let to = if user % 2 == 0 { DE } else { US } + 10_001 * user;
        sends(&world, to).await.expect("sent");
        if user % 5 > 0 {
            let target = VerificationTarget::Number(phone(to));
            world.ends(target, Ending::Approved).await.expect("verified");
        }
        world.advance(HOUR + HOUR / 5);
    }
    world
}

/// How many of these messages pass.
async fn passed(world: &World, requests: impl Iterator<Item = BeginRequest>) -> usize {
    let mut passed = 0;
    for request in requests {
        match world.begins(request).await {
            Ok(_) => passed += 1,
            Err(refused) => assert_eq!(refused, Refused::ByGuard),
        }
    }
    passed
}

#[tokio::test]
async fn an_attack_on_a_prefix_gets_at_most_31_messages_also_across_a_crash() {
    let world = learned(GuardSettings::default()).await;
    assert_eq!(passed(&world, (0..100).map(|n| asking(phone(TJ + n)))).await, 31);
    sends(&world, DE).await.expect("users of other prefixes are served");
    guard(&world).flush().await;
    sends(&world, US).await.expect("the changes are written with the next commit");
    let all = DecisionQuery { limit: 10, ..DecisionQuery::default() };
    let (decisions, _) = guard(&world).decisions(&all).await.expect("decisions");
    let refused = decisions.iter().filter(|decision| decision.name.effect == Effect::Refused);
    let refused: Vec<_> = refused.map(|decision| (decision.name.rule, decision.sends)).collect();
    assert!(refused.contains(&(Rule::Prefix, 69)), "{decisions:?}");

    let world = world.crashes().await;
    assert_eq!(passed(&world, (200..210).map(|n| asking(phone(TJ + n)))).await, 0);
    world.advance(13 * HOUR);
    sends(&world, TJ + 300).await.expect("the block has ended");
}

#[tokio::test]
async fn an_allowed_country_passes_the_block_of_its_prefix_as_explained() {
    let world = learned(GuardSettings::default()).await;
    passed(&world, (0..40).map(|n| asking(phone(TJ + n)))).await;
    let (guard, service) = (guard(&world), &world.service);
    let prefix = Dimension::prefix_of(phone(TJ));
    let explain = async || guard.explain((service.id, service.sid), prefix, true).await.expect("reasons");
    let explained = explain().await;
    let is_block = |reason: &String| reason.starts_with("The guard blocks +99290000**** for this service");
    assert!(explained.refused && explained.reasons.iter().any(is_block), "{explained:?}");

    let country = Key::new(None, Dimension::Country(Region::parse("TJ")));
    let by = world.registry.author(Actor::Account, None);
    let entry = guard.set_entry(country, Some(EntryAction::Allow), HOUR, by).await;
    assert_eq!(entry.expect("room").map(|entry| entry.action).as_deref(), Some("allow"));
    assert!(!explain().await.refused);
    sends(&world, TJ + 50).await.expect("sent");
}

#[tokio::test]
async fn a_rule_that_records_lets_messages_pass() {
    let mode = Some(Mode::Record);
    let settings = GuardSettings { prefix: mode, country: mode, ..GuardSettings::default() };
    let world = learned(settings).await;
    assert_eq!(passed(&world, (0..50).map(|n| asking(phone(TJ + n)))).await, 50);
    let all = DecisionQuery { limit: 10, ..DecisionQuery::default() };
    let (decisions, _) = guard(&world).decisions(&all).await.expect("decisions");
    assert!(decisions.iter().any(|decision| decision.name.effect == Effect::Recorded));
}

#[tokio::test]
async fn messages_without_an_address_are_never_blocked_by_that_rule() {
    let world = learned(GuardSettings::default()).await;
    let from = |address: Option<&str>, n: u64| BeginRequest {
        client: ClientSignals {
            address: address.map(|address| address.parse::<IpAddr>().expect("an address")),
            ..ClientSignals::default()
        },
        ..asking(phone(DE + 50_000_000 + 10_000 * n))
    };
    assert_eq!(passed(&world, (0..40).map(|n| from(Some("192.0.2.7"), n))).await, 16);
    assert_eq!(passed(&world, (40..60).map(|n| from(None, n))).await, 20);
    assert_eq!(passed(&world, (60..65).map(|n| from(Some("192.0.2.8"), n))).await, 5);
}

#[tokio::test]
async fn a_request_without_a_risk_check_passes_types_and_not_budgets() {
    let settings = GuardSettings { messages_per_hour: Some(3), ..GuardSettings::default() };
    let world = World::guarded(settings, "Simulator", json!({})).await;
    assert_eq!(sends(&world, PREMIUM).await, Err(Refused::ByGuard));
    let client = ClientSignals { is_trusted: true, ..ClientSignals::default() };
    let trusting = |to| BeginRequest { client, ..asking(phone(to)) };
    world.begins(trusting(PREMIUM)).await.expect("sent");
    world.registry.add_safe_number(phone(PREMIUM)).await.expect("a safe number");
    world.begins(asking(phone(PREMIUM))).await.expect("sent");
    sends(&world, US).await.expect("sent");
    let until = Timestamp::from_millis(START.as_millis() / 3_600_000 * 3_600_000).plus(HOUR);
    for to in [PREMIUM, US, DE] {
        assert_eq!(world.begins(trusting(to)).await, Err(Refused::BudgetSpent { until }));
    }
    world.advance(until.since(START));
    sends(&world, DE).await.expect("a new hour");
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
        assert_eq!(sends(&world, US).await, Err(Refused::GatewayFailed));
    }
    sends(&world, US).await.expect("sent");
    assert!(matches!(sends(&world, DE).await, Err(Refused::BudgetSpent { .. })), "0.10 dollars are too much");
    sends(&world, US + 1).await.expect("sent");
    assert!(matches!(sends(&world, US + 2).await, Err(Refused::BudgetSpent { .. })));
}

#[tokio::test]
async fn a_budget_that_was_off_or_larger_is_not_spent_by_crashes() {
    let budgets = |messages: u64, money| GuardSettings {
        messages_per_hour: Some(messages),
        messages_per_day: Some(messages),
        money_per_day: Some(money),
        ..GuardSettings::default()
    };
    for large in [u64::MAX, 1_000_000_000] {
        let mut world = World::guarded(budgets(large, large), "Mada", json!({})).await;
        for n in 0..5 {
            sends(&world, US + 10_001 * n).await.expect("sent");
            world = world.crashes().await;
        }
        let world = world.crashes_with(budgets(501, 5_010_000)).await;
        sends(&world, US + 70_000).await.expect("five times 100 messages of 501 are drawn at most");
        let listed = guard(&world).overview((None, None, 10), exact).await.expect("budgets").budgets;
        let most = if large == u64::MAX { 1 } else { 501 };
        let messages: Vec<_> = listed.iter().take(2).map(|budget| budget.spent).collect();
        assert_eq!(messages, [most; 2], "{listed:?}");
    }
}

#[tokio::test]
async fn a_budget_with_too_little_money_for_a_message_is_explained() {
    let settings = GuardSettings { money_per_day: Some(40_000), ..GuardSettings::default() };
    let world = World::guarded(settings, "Mada", json!({})).await;
    sends(&world, US).await.expect("sent");
    let service = world.registry.default_service();
    let explain = async |to| {
        let subject = Dimension::Number(phone(to));
        guard(&world).explain((service.id, service.sid), subject, true).await.expect("an explanation")
    };
    let germany = explain(DE).await;
    assert!(germany.refused && germany.reasons[0].starts_with("The budget money-per-day of all services"));
    assert!(germany.reasons[0].contains(": 0.01 of 0.04 USD spent. "), "{germany:?}");
    assert!(!explain(US).await.refused, "0.03 dollars are enough");
}

#[tokio::test]
async fn a_budget_of_money_refuses_no_message_of_the_simulator() {
    let settings = GuardSettings { money_per_day: Some(1), ..GuardSettings::default() };
    let world = World::guarded(settings, "Simulator", json!({})).await;
    sends(&world, DE).await.expect("sent");
    let (service, subject) = (world.registry.default_service(), Dimension::Number(phone(DE)));
    let explained = guard(&world).explain((service.id, service.sid), subject, true).await;
    assert!(!explained.expect("an explanation").refused);
}

#[tokio::test]
async fn countries_outside_the_list_get_no_message() {
    let countries = ["DE"].into_iter().filter_map(Region::parse).collect();
    let settings = GuardSettings { allowed_countries: Some(countries), ..GuardSettings::default() };
    let world = World::guarded(settings, "Simulator", json!({})).await;
    assert_eq!(sends(&world, US).await, Err(Refused::Country));
    sends(&world, DE).await.expect("sent");
}

#[tokio::test]
async fn an_erased_number_is_forgotten() {
    let settings = GuardSettings { sends_per_number: Some(1), ..GuardSettings::default() };
    let world = World::guarded(settings, "Simulator", json!({})).await;
    let request = || SendRequest {
        key: NumberKey::new(ServiceId::DEFAULT, number(1)),
        options: None,
        channel: None,
        style: MessageStyle::default(),
        verification: None,
        client: ClientSignals::default(),
        request_id: None,
    };
    world.verifying.send_for_default_service(request()).await.expect("sent");
    let refused = world.verifying.send_for_default_service(request()).await.expect("an answer");
    let all = DecisionQuery { limit: 10, ..DecisionQuery::default() };
    assert_eq!(guard(&world).decisions(&all).await.expect("decisions").0.len(), 1, "{refused:?}");
    let by = world.registry.author(Actor::Account, None);
    world.verifying.erase(ServiceId::DEFAULT, number(1), by).await.expect("erased");
    assert_eq!(guard(&world).decisions(&all).await.expect("decisions").0.len(), 0);
    let sent = world.verifying.send_for_default_service(request()).await.expect("an answer");
    assert!(matches!(sent.outcome, SendOutcome::Sent { .. }), "{sent:?}");
}
