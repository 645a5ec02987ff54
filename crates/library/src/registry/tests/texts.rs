//! The text of a message.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::world::{World, given, locale, number, template};
use crate::domain::{Channel, Locale, Sid, SidKind};
use crate::registry::{Item, Registry, RegistryError, Service, TextError, TextOptions, template_sid};
use crate::template::{AppHash, Wording};

const US: &str = "+14155550123";

#[tokio::test]
async fn without_a_template_the_message_names_the_service() {
    let registry = World::new().open().await;
    let shop = registry.made("Shop").await;
    assert_eq!(text(&registry, &shop, &plain()), "Your Shop verification code is: {code}");
    let other = TextOptions { friendly_name: Some("Club"), ..plain() };
    assert_eq!(text(&registry, &shop, &other), "Your Club verification code is: {code}");
}

#[tokio::test]
async fn the_default_service_says_what_the_settings_say() {
    let registry = World::new().open().await;
    let default = registry.default_service();
    assert_eq!(registry.text(&default, &plain()), Ok((Wording::Api, None)));
    let other = TextOptions { friendly_name: Some("Club"), ..plain() };
    assert_eq!(text(&registry, &default, &other), "Your Club verification code is: {code}");
}

#[tokio::test]
async fn a_warning_is_added_to_text_messages_and_before_the_line_for_browsers() {
    let login = template("login", &[("en", "Code {code}!\n@example.com #{code}")]);
    let registry = World::new().with_template(login).open().await;
    let fields = given(json!({ "friendly-name": "Shop", "do-not-share-warning": true }));
    let shop = registry.create_service(fields).await.expect("a service");
    assert_eq!(
        text(&registry, &shop, &plain()),
        "Your Shop verification code is: {code}. Do not share it. We never ask for it."
    );
    let call = TextOptions { channel: Channel::Call, ..plain() };
    assert_eq!(text(&registry, &shop, &call), "Your Shop verification code is: {code}");
    let sid = template_sid("login");
    let chosen = TextOptions { template: Some(&sid), ..plain() };
    let words = "Code {code}! Do not share it. We never ask for it.\n@example.com #{code}";
    assert_eq!(text(&registry, &shop, &chosen), words);
}

#[tokio::test]
async fn the_warning_is_left_out_where_it_needs_a_further_text_message() {
    let registry = World::new().open().await;
    let fields = given(json!({ "friendly-name": "Shop", "do-not-share-warning": true, "locale": "th" }));
    let shop = registry.create_service(fields).await.expect("a service");
    let short = TextOptions { friendly_name: Some("Twenty Characters Co"), ..plain() };
    let long = TextOptions { friendly_name: Some("A Name Of Thirty Characters Co"), ..short };
    let longer_code = TextOptions { code_length: Some(10), ..short };
    let hash = AppHash::parse("FA+9qCX9VSu");
    let for_an_app = TextOptions { app_hash: hash.as_ref(), ..short };
    let is_warned = |options: &TextOptions<'_>| text(&registry, &shop, options).contains(" ห้ามบอก");
    assert!(is_warned(&short) && is_warned(&TextOptions { code_length: Some(4), ..short }));
    for options in [long, longer_code, for_an_app] {
        assert!(!is_warned(&options), "{options:?}");
    }
}

#[tokio::test]
async fn a_template_is_in_the_requested_language_or_the_nearest() {
    let login =
        template("login", &[("en", "{code} opens"), ("de", "{{code}} öffnet"), ("pt-BR", "{code} abre")]);
    let registry = World::new().with_template(login).open().await;
    let fields = given(json!({ "friendly-name": "Shop", "locale": "pt-BR" }));
    let shop = registry.create_service(fields).await.expect("a service");
    let sid = template_sid("login");
    for (asked, to, words) in [
        (Some("de-AT"), US, "{code} öffnet"),
        (None, "+4915112345678", "{code} öffnet"),
        (None, US, "{code} opens"),
        (Some("fr"), "+33639980012", "{code} abre"),
        (None, "+819012345678", "{code} abre"),
    ] {
        let options =
            TextOptions { template: Some(&sid), locale: asked.map(locale), to: number(to), ..plain() };
        assert_eq!(text(&registry, &shop, &options), words, "{asked:?} {to}");
    }
    let club = registry.made("Club").await;
    let japan = TextOptions { template: Some(&sid), to: number("+819012345678"), ..plain() };
    assert_eq!(text(&registry, &club, &japan), "{code} opens", "the template's own");
}

#[tokio::test]
async fn without_a_template_a_message_has_the_language_of_request_or_service() {
    let registry = World::new().open().await;
    let fields = given(json!({ "friendly-name": "Shop", "locale": "pt-BR", "do-not-share-warning": true }));
    let shop = registry.create_service(fields).await.expect("a service");
    for (asked, words) in [
        (Some("de-AT"), "Shop: Ihr Code lautet {code}. Geben Sie ihn nicht weiter."),
        (None, "Shop: seu código é {code}. Não o divulgue."),
        (Some("en"), "Your Shop verification code is: {code}. Do not share it. We never ask for it."),
    ] {
        let options = TextOptions { locale: asked.map(locale), ..plain() };
        assert_eq!(text(&registry, &shop, &options), words, "{asked:?}");
        let (_, spoken) = registry.text(&shop, &options).expect("a text");
        let language = locale(asked.unwrap_or("pt-BR")).language();
        assert_eq!(spoken.map(Locale::language), Some(language), "calls are spoken in it");
    }
    let called = TextOptions { locale: Some(locale("he")), channel: Channel::Call, ..plain() };
    assert_eq!(
        text(&registry, &shop, &called),
        "Your Shop verification code is: {code}",
        "no voice speaks it"
    );
    let esperanto = TextOptions { locale: Some(locale("eo")), ..plain() };
    assert_eq!(registry.text(&shop, &esperanto), Err(TextError::OtherLanguage(locale("eo"))));
    let french = TextOptions { to: number("+33639980012"), ..plain() };
    let plain = registry.made("Plain").await;
    assert_eq!(text(&registry, &plain, &french), "Your Plain verification code is: {code}");
}

#[tokio::test]
async fn a_place_of_a_template_needs_a_value() {
    let login = template("login", &[("en", "{{friendly_name}}: {code} for {{who}} on {{device}}")]);
    let registry = World::new().with_template(login).open().await;
    let shop = registry.made("Shop").await;
    let sid = template_sid("login");
    let values = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let some = values(&[("who", "Ann"), ("device", "phone 7"), ("other", "unused")]);
    let chosen = TextOptions { template: Some(&sid), substitutions: &some, ..plain() };
    assert_eq!(text(&registry, &shop, &chosen), "Shop: {code} for Ann on phone 7");
    let one = values(&[("who", "Ann")]);
    let missing = registry.text(&shop, &TextOptions { template: Some(&sid), substitutions: &one, ..plain() });
    assert_eq!(missing, Err(TextError::MissingSubstitution("device".to_owned())));
}

#[tokio::test]
async fn a_value_cannot_be_a_place_a_line_or_a_novel() {
    let registry = World::new().open().await;
    let shop = registry.made("Shop").await;
    let long = "x".repeat(129);
    for value in ["a\nb", "{code}", "x}", "_CODE_", "\u{7}", "a\u{2028}b", "a\u{202e}b", &long] {
        let values = BTreeMap::from([("who".to_owned(), value.to_owned())]);
        let refused = registry.text(&shop, &TextOptions { substitutions: &values, ..plain() });
        assert!(matches!(&refused, Err(TextError::BadValue { name, .. }) if name == "who"), "{value:?}");
    }
    let of_a_number = BTreeMap::from([("+14155552671".to_owned(), long.clone())]);
    let refused = registry.text(&shop, &TextOptions { substitutions: &of_a_number, ..plain() });
    assert!(
        matches!(&refused, Err(TextError::BadValue { name, .. }) if name == "+1415*****71"),
        "{refused:?}"
    );
    for name in ["", "a\nb", "a\u{202a}b\u{2069}", "{code}", "Call 12345", &long] {
        let refused = registry.text(&shop, &TextOptions { friendly_name: Some(name), ..plain() });
        assert!(
            matches!(&refused, Err(TextError::BadValue { name, .. }) if name == "CustomFriendlyName"),
            "{name:?}"
        );
    }
    let many = (0..33).map(|n| (n.to_string(), "x".to_owned())).collect();
    assert_eq!(
        registry.text(&shop, &TextOptions { substitutions: &many, ..plain() }),
        Err(TextError::TooManyValues)
    );
}

#[tokio::test]
async fn a_text_that_is_too_long_once_it_is_filled_in_is_refused() {
    let filler = "x".repeat(1_500);
    let login = template("login", &[("en", &format!("{{code}} {{{{who}}}} {filler}"))]);
    let registry = World::new().with_template(login).open().await;
    let shop = registry.made("Shop").await;
    let sid = template_sid("login");
    let refused = |length: usize| {
        let values = BTreeMap::from([("who".to_owned(), "y".repeat(length))]);
        registry.text(&shop, &TextOptions { template: Some(&sid), substitutions: &values, ..plain() })
    };
    assert!(refused(80).is_ok());
    assert!(matches!(refused(128), Err(TextError::Text(why)) if why.contains("1600")));
}

#[tokio::test]
async fn a_template_is_for_its_channels() {
    let registry = World::new().with_template(template("login", &[("en", "{code}")])).open().await;
    let sid = template_sid("login");
    let fields = given(json!({ "friendly-name": "Shop", "default-template": sid }));
    let shop = registry.create_service(fields).await.expect("a service");
    let call = TextOptions { channel: Channel::Call, ..plain() };
    assert_eq!(text(&registry, &shop, &plain()), "{code}", "the service's");
    assert_eq!(text(&registry, &shop, &call), "Your Shop verification code is: {code}", "where it fits");
    let refused = registry.text(&shop, &TextOptions { template: Some(&sid), ..call });
    assert_eq!(refused, Err(TextError::OtherChannel { template: sid, channel: Channel::Call }));
    let unknown = Sid::new(SidKind::Template, [9; 16]);
    let refused = registry.text(&shop, &TextOptions { template: Some(&unknown), ..plain() });
    assert_eq!(refused, Err(TextError::UnknownTemplate(unknown)));
}

#[tokio::test]
async fn templates_are_listed_the_built_in_ones_first() {
    let registry = World::new().with_template(template("login", &[("en", "{code}")])).open().await;
    let sids: Vec<Sid> = registry.templates().iter().map(|template| template.sid).collect();
    assert_eq!(sids, ["onceward-plain", "onceward-minutes", "login"].map(template_sid));
    assert_eq!(registry.template(&sids[2]).expect("it").friendly_name, "login");
    let unknown = registry.template(&Sid::new(SidKind::Template, [9; 16]));
    assert_eq!(unknown.map(|_| ()), Err(RegistryError::NotFound(Item::Template)));
    let shop = registry.made("Shop").await;
    for sid in &sids {
        let made = text(&registry, &shop, &TextOptions { template: Some(sid), ..plain() });
        assert!(made.contains("{code}"), "{made}");
    }
}

#[tokio::test]
async fn values_cannot_make_a_place_or_a_line_for_browsers_together() {
    let texts = [("en", "Your code {code}\n{{a}}{{b}}")];
    let registry = World::new().with_template(template("login", &texts)).open().await;
    let shop = registry.made("Shop").await;
    let sid = template_sid("login");
    for (a, b) in
        [("@evil.example #_CO", "DE_"), ("_CO", "DE_"), (" @evil.example", " #123456"), ("", "@x #1")]
    {
        let values = BTreeMap::from([("a".to_owned(), a.to_owned()), ("b".to_owned(), b.to_owned())]);
        let refused =
            registry.text(&shop, &TextOptions { template: Some(&sid), substitutions: &values, ..plain() });
        assert!(matches!(refused, Err(TextError::BadValue { .. })), "{a:?} and {b:?}: {refused:?}");
    }
    let values = BTreeMap::from([("a".to_owned(), "at".to_owned()), ("b".to_owned(), " noon".to_owned())]);
    let good = TextOptions { template: Some(&sid), substitutions: &values, ..plain() };
    assert_eq!(text(&registry, &shop, &good), "Your code {code}\nat noon");
}

/// A request without wishes.
fn plain() -> TextOptions<'static> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    TextOptions {
        template: None,
        substitutions: &NONE,
        friendly_name: None,
        locale: None,
        channel: Channel::Sms,
        to: number(US),
        app_hash: None,
        code_length: None,
    }
}

#[track_caller]
fn text(registry: &Registry, service: &Arc<Service>, options: &TextOptions<'_>) -> String {
    match registry.text(service, options) {
        Ok((Wording::Custom(text), _)) => text.to_string(),
        other => panic!("{other:?}"),
    }
}
