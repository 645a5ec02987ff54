//! The gateways of `gateways`.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::*;
use crate::domain::Channel;

const SECRET: &str = "ONCEWARD_GATEWAYS_ACME_SMS_SECRET";

#[test]
fn a_gateway_is_a_recipe_with_its_settings() {
    let world = one(&json!({"recipe": "vonage", "key": "k", "from": "Acme"})).variable(SECRET, TOKEN);
    let gateway = gateway(&world);
    assert_eq!(gateway.owner.gateway.as_str(), "acme-sms");
    assert_eq!(gateway.channels, [Channel::Sms]);
    let value = |name: &str| gateway.values[name].expose_secret().to_owned();
    assert_eq!((value("key"), value("secret")), ("k".to_owned(), TOKEN.to_owned()));
    assert_eq!(value("url"), "https://rest.nexmo.com");
    assert_eq!(world.warnings(), Vec::<String>::new());
    assert_eq!(world.shows("gateways").0, "\"acme-sms\"");
    assert!(!format!("{:?}", world.loads()).contains(TOKEN));
    assert_eq!(world.settings().gateways.routing.to_string(), "acme-sms");
}

#[test]
fn a_setting_may_be_in_a_file_that_a_variable_names() {
    let world = one(&json!({"recipe": "vonage", "key": "k", "from": "Acme"}))
        .variable(&format!("{SECRET}_FILE"), "absent");
    says(&world.error(), &[&format!("{SECRET}_FILE"), "there is no file"]);
}

#[test]
fn a_credential_in_the_file_works_and_gets_a_warning() {
    let world = one(&json!({"recipe": "vonage", "key": "k", "secret": TOKEN, "from": "Acme"}));
    assert_eq!(gateway(&world).values["secret"].expose_secret(), TOKEN);
    says(&world.warnings().concat(), &["gateways.acme-sms.secret: works, but", SECRET]);
    assert!(!world.warnings().concat().contains(TOKEN));
}

#[test]
fn a_default_may_have_another_setting_in_it() {
    let world =
        one(&json!({"recipe": "aws", "region": "eu-central-1", "key_id": "A"})).variable(SECRET, TOKEN);
    assert_eq!(gateway(&world).values["url"].expose_secret(), "https://sms-voice.eu-central-1.amazonaws.com");
}

#[test]
fn the_channels_of_a_recipe_can_be_changed() {
    let world = one(&json!({"recipe": "telnyx", "key": "k", "from": "1", "channels": ["sms", "call"]}));
    assert_eq!(gateway(&world).channels, [Channel::Sms, Channel::Call]);
}

#[test]
fn a_whole_recipe_may_be_in_the_configuration() {
    let recipe = json!({
        "method": "POST",
        "settings": {"token": {"about": "its token", "secret": true}},
        "url": "https://sms.example.com/send",
        "headers": {"X-Token": "{token}"},
        "form": {"to": "{to}", "text": "{text}"},
    });
    let world = one(&json!({"recipe": recipe, "token": "t"}));
    assert!(gateway(&world).form.is_some());
}

#[test]
fn what_aws_signs_has_a_plain_address() {
    for (url, is_taken) in
        [("https://x.example", true), ("https://x.example/a?b=c", false), ("https://x.example/a%20b", false)]
    {
        let keys = json!({"recipe": "aws", "region": "eu-central-1", "key_id": "A", "url": url});
        let world = one(&keys).variable(SECRET, TOKEN);
        assert_eq!(world.load().is_ok(), is_taken, "{url}");
        if !is_taken {
            says(&world.error(), &["gateways.acme-sms.url: it must have no query"]);
        }
    }
}

#[test]
fn print_config_shows_a_named_gateway_without_its_credentials() {
    let world = one(&json!({"recipe": "vonage", "key": "k", "from": "Acme"})).variable(SECRET, TOKEN);
    let (shown, origin) = world.shows("gateways.acme-sms");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let expected = json!({"recipe": "vonage", "channels": ["sms"], "key": "k", "from": "Acme", "secret": shown["secret"]});
    assert_eq!(shown, expected);
    assert!(!shown.to_string().contains(TOKEN) && shown["secret"].is_string());
    says(&origin, &["key \"gateways\""]);
}

#[test]
fn a_name_is_that_of_no_built_in_gateway_and_fits_into_a_list() {
    for (name, problem) in
        [("Mada", "a built-in gateway"), ("twilio", "a built-in gateway"), ("a;b", "64 letters")]
    {
        let config = json!({"gateways": {name: {"recipe": "telnyx", "key": "k", "from": "1"}}});
        says(&World::with_config(&config.to_string()).error(), &[&format!("gateways.{name}"), problem]);
    }
}

#[test]
fn two_gateways_never_share_a_credential() {
    let vonage = json!({"recipe": "vonage", "key": "k", "from": "Acme"});
    let gateways = json!({"acme-sms": vonage, "acme_sms": vonage});
    let config = json!({"otp-sms-provider": "acme-sms;acme_sms", "gateways": gateways});
    let world = World::with_config(&config.to_string()).variable(SECRET, TOKEN);
    says(&world.error(), &["gateways.acme_sms", "another gateway has the variable", SECRET]);
}

#[test]
fn what_has_no_meaning_gets_a_warning() {
    let world = one(&json!({"recipe": "telnyx", "key": "k", "from": "1", "form": "2"}))
        .variable("ONCEWARD_GATEWAYS_OTHER_KEY", "x");
    let warnings = world.warnings().join("\n");
    says(&warnings, &["gateways.acme-sms.form: it is unknown", "did you mean \"from\"?"]);
    says(&warnings, &["ONCEWARD_GATEWAYS_OTHER_KEY: it is unknown"]);
    let settings = json!({"from": {"defualt": ""}});
    let recipe = json!({"url": "https://x.example/{to}/{text}", "succes": {}, "settings": settings});
    let warnings = one(&json!({"recipe": recipe, "from": "1"})).warnings().join("\n");
    says(
        &warnings,
        &[
            "recipe.succes\": it is unknown; did you mean \"success\"?",
            "recipe.settings.from.defualt\": it is unknown",
        ],
    );
}

#[test]
fn a_number_is_tried_with_at_most_ten_gateways_without_prefixes() {
    let names: Vec<String> = (0..11).map(|index| format!("g{index}")).collect();
    let gateway = json!({"recipe": "telnyx", "key": "k", "from": "1"});
    let gateways: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), gateway.clone())).collect();
    let with = |order: String| {
        World::with_config(&json!({"otp-sms-provider": order, "gateways": gateways}).to_string())
    };
    says(&with(names.join(";")).error(), &["otp-sms-provider", "it has 11 gateways without prefixes", "10"]);
    assert!(with(format!("{};g10:+359", names[..10].join(";"))).load().is_ok());
}

/// A configuration with one gateway.
fn one(object: &Value) -> World {
    World::with_config(&json!({"otp-sms-provider": "acme-sms", "gateways": {"acme-sms": object}}).to_string())
}

fn gateway(world: &World) -> HttpGatewaySettings {
    world.settings().gateways.http().cloned().expect("a gateway")
}
