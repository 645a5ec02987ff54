//! The text of a message.

use std::collections::BTreeMap;

use super::*;
use crate::domain::Channel;
use crate::registry::{TextError, TextOptions};
use crate::template::Wording;

const US: &str = "+14155550123";

/// Service "Shop", and a template "login".
struct Shop {
    registry: Registry,
    service: Arc<Service>,
}

impl Shop {
    async fn new(settings: Value) -> Self {
        Self::with_template(&[("en", "{code}")], settings).await
    }

    async fn with_template(texts: &[(&str, &str)], settings: Value) -> Self {
        let registry = with_login(texts).await.registry.clone();
        let fields = named("Shop").into_iter().chain(given(settings)).collect();
        let service = registry.create_service(fields).await.expect("a service");
        Self { registry, service }
    }

    /// The text of the template with these values in its places.
    fn fills(&self, values: &[(&str, &str)]) -> Result<String, TextError> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let login = template_sid("login");
        let options = TextOptions { template: Some(&login), substitutions: &values, ..plain() };
        self.registry.text(&self.service, &options).map(|_| self.says(&options))
    }

    #[track_caller]
    fn says(&self, options: &TextOptions<'_>) -> String {
        match self.registry.text(&self.service, options) {
            Ok((Wording::Custom(text), _)) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn refuses(&self, options: &TextOptions<'_>) -> TextError {
        self.registry.text(&self.service, options).expect_err("an error")
    }
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
    }
}

#[tokio::test]
async fn without_a_template_the_message_names_the_service() {
    let mut shop = Shop::new(json!({})).await;
    let other = TextOptions { friendly_name: Some("Club"), ..plain() };
    assert_eq!(shop.says(&plain()), "Your Shop verification code is: {code}");
    assert_eq!(shop.says(&other), "Your Club verification code is: {code}");
    shop.service = shop.registry.default_service();
    assert_eq!(shop.registry.text(&shop.service, &plain()), Ok((Wording::Api, None)), "that of the settings");
    assert_eq!(shop.says(&other), "Your Club verification code is: {code}");
}

#[tokio::test]
async fn a_warning_is_added_to_text_messages_and_before_the_line_for_browsers() {
    let login = [("en", "Code {code}!\n@example.com #{code}")];
    let shop = Shop::with_template(&login, json!({ "do-not-share-warning": true })).await;
    let (call, sid) = (TextOptions { channel: Channel::Call, ..plain() }, template_sid("login"));
    for (options, text) in [
        (plain(), "Your Shop verification code is: {code}. Do not share it. We never ask for it."),
        (call, "Your Shop verification code is: {code}"),
        (
            TextOptions { template: Some(&sid), ..plain() },
            "Code {code}! Do not share it. We never ask for it.\n@example.com #{code}",
        ),
    ] {
        assert_eq!(shop.says(&options), text);
    }
}

#[tokio::test]
async fn a_template_is_in_the_requested_language_or_the_nearest() {
    let login = [("en", "{code} opens"), ("de", "{{code}} öffnet"), ("pt-BR", "{code} abre")];
    let mut shop = Shop::with_template(&login, json!({ "locale": "pt-BR" })).await;
    let sid = template_sid("login");
    let asked = |asked: Option<&str>, to| TextOptions {
        template: Some(&sid),
        locale: asked.map(locale),
        to: number(to),
        ..plain()
    };
    for (options, text) in [
        (asked(Some("de-AT"), US), "{code} öffnet"),
        (asked(None, "+4915112345678"), "{code} öffnet"),
        (asked(None, US), "{code} opens"),
        (asked(Some("fr"), "+33639980012"), "{code} abre"),
        (asked(None, "+819012345678"), "{code} abre"),
    ] {
        assert_eq!(shop.says(&options), text, "{options:?}");
    }
    shop.service = shop.registry.made("Club").await;
    assert_eq!(shop.says(&asked(None, "+819012345678")), "{code} opens", "the template's own");
}

#[tokio::test]
async fn without_a_template_a_message_has_the_language_of_request_or_service() {
    let mut shop = Shop::new(json!({ "locale": "pt-BR", "do-not-share-warning": true })).await;
    let asked = |tag| TextOptions { locale: Some(locale(tag)), ..plain() };
    for (options, spoken, text) in [
        (asked("de-AT"), "de", "Shop: Ihr Code lautet {code}. Geben Sie ihn nicht weiter."),
        (plain(), "pt", "Shop: seu código é {code}. Não o divulgue."),
        (asked("en"), "en", "Your Shop verification code is: {code}. Do not share it. We never ask for it."),
    ] {
        assert_eq!(shop.says(&options), text);
        let (_, locale) = shop.registry.text(&shop.service, &options).expect("a text");
        let language = locale.map(|locale| locale.language().to_string());
        assert_eq!(language.as_deref(), Some(spoken), "calls are spoken in it");
    }
    let called = TextOptions { channel: Channel::Call, ..asked("he") };
    assert_eq!(shop.says(&called), "Your Shop verification code is: {code}", "no voice speaks it");
    assert_eq!(shop.refuses(&asked("eo")), TextError::OtherLanguage(locale("eo")));
    shop.service = shop.registry.made("Plain").await;
    let to_france = TextOptions { to: number("+33639980012"), ..plain() };
    assert_eq!(shop.says(&to_france), "Your Plain verification code is: {code}");
}

#[tokio::test]
async fn a_place_of_a_template_needs_a_value() {
    let login = [("en", "{{friendly_name}}: {code} for {{who}} on {{device}}")];
    let shop = Shop::with_template(&login, json!({})).await;
    let text = shop.fills(&[("who", "Ann"), ("device", "phone 7"), ("other", "unused")]);
    assert_eq!(text.as_deref(), Ok("Shop: {code} for Ann on phone 7"));
    assert_eq!(shop.fills(&[("who", "Ann")]), Err(TextError::MissingSubstitution("device".to_owned())));
}

#[tokio::test]
async fn a_value_cannot_be_a_place_a_line_or_a_novel() {
    let shop = Shop::new(json!({})).await;
    let bad_value = |error| match error {
        TextError::BadValue { name, .. } => name,
        other => panic!("{other:?}"),
    };
    let long = "x".repeat(129);
    for value in ["a\nb", "{code}", "x}", "_CODE_", "\u{7}", "a\u{2028}b", "a\u{202e}b", &long] {
        assert_eq!(shop.fills(&[("who", value)]).map_err(bad_value), Err("who".to_owned()));
    }
    let of_a_number = shop.fills(&[("+14155552671", &long)]);
    assert_eq!(of_a_number.map_err(bad_value), Err("+1415*****71".to_owned()));
    for name in ["", "a\nb", "a\u{202a}b\u{2069}", "{code}", "Call 12345", &long] {
        let named = TextOptions { friendly_name: Some(name), ..plain() };
        assert_eq!(bad_value(shop.refuses(&named)), "CustomFriendlyName");
    }
    let names: Vec<String> = (0..33).map(|n| n.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    assert_eq!(shop.fills(&many), Err(TextError::TooManyValues));
}

#[tokio::test]
async fn values_cannot_make_a_place_or_a_line_for_browsers_together() {
    let shop = Shop::with_template(&[("en", "Your code {code}\n{{a}}{{b}}")], json!({})).await;
    for (a, b) in
        [("@evil.example #_CO", "DE_"), ("_CO", "DE_"), (" @evil.example", " #123456"), ("", "@x #1")]
    {
        let filled = shop.fills(&[("a", a), ("b", b)]);
        assert!(matches!(filled, Err(TextError::BadValue { .. })), "{a:?} and {b:?}: {filled:?}");
    }
    assert_eq!(shop.fills(&[("a", "at"), ("b", " noon")]).as_deref(), Ok("Your code {code}\nat noon"));
}

#[tokio::test]
async fn a_text_that_is_too_long_once_it_is_filled_in_is_refused() {
    let text = format!("{{code}} {{{{who}}}} {}", "x".repeat(1_500));
    let shop = Shop::with_template(&[("en", &text)], json!({})).await;
    assert!(shop.fills(&[("who", &"y".repeat(80))]).is_ok());
    let refused = shop.fills(&[("who", &"y".repeat(128))]);
    assert!(matches!(&refused, Err(TextError::Text(why)) if why.contains("1600")), "{refused:?}");
}

#[tokio::test]
async fn a_template_is_for_its_channels() {
    let sid = template_sid("login");
    let shop = Shop::new(json!({ "default-template": sid })).await;
    let call = TextOptions { channel: Channel::Call, ..plain() };
    assert_eq!(shop.says(&plain()), "{code}", "the service's");
    assert_eq!(shop.says(&call), "Your Shop verification code is: {code}", "where it fits");
    let refused = shop.refuses(&TextOptions { template: Some(&sid), ..call });
    assert_eq!(refused, TextError::OtherChannel { template: sid, channel: Channel::Call });
    let unknown = Sid::new(SidKind::Template, [9; 16]);
    let refused = shop.refuses(&TextOptions { template: Some(&unknown), ..plain() });
    assert_eq!(refused, TextError::UnknownTemplate(unknown));
}
