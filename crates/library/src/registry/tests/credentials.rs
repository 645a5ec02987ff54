//! Authentication of callers, and their scopes.

use secrecy::ExposeSecret as _;

use super::*;
use crate::config::services::AccountSettings;
use crate::registry::{Caller, KEYS_PER_SERVICE, NewApiKey, Scope, Scopes};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "a token of twenty.."; // as long as one must be

#[tokio::test]
async fn the_environments_credentials_win_and_are_changed_there() {
    let world = World::bare().await;
    let stored = world.registry.renew_account().await.expect("made");
    let world = world.crashes_with(with_account).await;
    let registry = &world.registry;
    assert!(registry.account_is_given());
    assert!(matches!(registry.authenticate(ACCOUNT, TOKEN), Some(Caller::Root)));
    assert!(registry.authenticate(&stored.sid.to_string(), stored.token.expose_secret()).is_none());
    assert!(matches!(registry.renew_account().await, Err(RegistryError::ReadOnly(_))));
    assert_eq!(registry.account_sid().to_string(), ACCOUNT);
}

#[tokio::test]
async fn only_the_right_secret_of_a_known_id_is_let_in() {
    let registry = World::set_up(with_account).await.registry.clone();
    let (made, other) = (key_for(&registry, None).await, key_for(&registry, None).await);
    let (sid, secret) = (made.key.sid.to_string(), made.secret.expose_secret());
    // Twilio's library for Go sends no others.
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert!(registry.authenticate(&sid.to_uppercase(), secret).is_some(), "as ids are read");
    let unknown = Sid::new(SidKind::ApiKey, [9; 16]).to_string();
    let others = other.secret.expose_secret();
    for (user, password) in [(sid.as_str(), others), (&sid, TOKEN), (&unknown, secret), (ACCOUNT, secret)] {
        assert!(registry.authenticate(user, password).is_none(), "{user}");
    }
    let without_account = opened().await;
    let unknown = without_account.account_sid().to_string();
    for password in ["", "\0", "0"] {
        assert!(without_account.authenticate(&unknown, password).is_none());
    }
}

#[tokio::test]
async fn a_service_has_so_many_keys_and_revoked_ones_are_gone() {
    let registry = opened().await;
    let shop = registry.made("Shop").await.id;
    let first = key_for(&registry, Some(shop)).await.key.sid;
    for _ in 1..KEYS_PER_SERVICE {
        key_for(&registry, Some(shop)).await;
    }
    let refused = registry.create_key(Some(shop), only(Scope::Verify), None).await;
    assert!(matches!(refused, Err(RegistryError::TooMany { limit: KEYS_PER_SERVICE, .. })), "{refused:?}");
    key_for(&registry, None).await;
    registry.revoke_key(first).await.expect("revoked");
    key_for(&registry, Some(shop)).await;
    assert_eq!(registry.revoke_key(first).await, Err(RegistryError::NotFound(Item::ApiKey)));
}

#[tokio::test]
async fn a_key_of_a_service_that_is_gone_opens_nothing() {
    let registry = opened().await;
    let shop = registry.made("Shop").await;
    let made = key_for(&registry, Some(shop.id)).await;
    registry.delete_service(shop.sid).await.expect("removed");
    assert!(caller(&registry, &made).is_none());
    assert_eq!(registry.live_keys(), 0);
    let refused = registry.create_key(Some(shop.id), only(Scope::Verify), None).await;
    assert_eq!(refused.map(|_| ()), Err(RegistryError::NotFound(Item::Service)));
}

#[tokio::test]
async fn a_key_makes_no_keys() {
    let registry = opened().await;
    let made = registry.create_key(None, only(Scope::Admin), None).await.expect("a key");
    let session = caller(&registry, &made).expect("let in").session();
    let by_key = registry.on_behalf_of(registry.author(session, None));
    let refused = by_key.create_key(None, only(Scope::Admin), None).await;
    assert!(matches!(refused, Err(RegistryError::ReadOnly(_))), "{refused:?}");
    by_key.revoke_key(made.key.sid).await.expect("revoked");
    assert_eq!(registry.live_keys(), 0);
}

fn with_account(settings: &mut Settings) {
    let sid = Sid::parse(SidKind::Account, ACCOUNT).expect("an id");
    settings.registry.account = Some(AccountSettings { sid, token: TOKEN.into() });
}

fn only(scope: Scope) -> Scopes {
    [scope].into_iter().collect()
}

pub(super) async fn key_for(registry: &Registry, service: Option<ServiceId>) -> NewApiKey {
    registry.create_key(service, only(Scope::Verify), None).await.expect("a key")
}

pub(super) fn caller(registry: &Registry, made: &NewApiKey) -> Option<Caller> {
    registry.authenticate(&made.key.sid.to_string(), made.secret.expose_secret())
}
