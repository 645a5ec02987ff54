//! Each recipe against a double that answers as the provider documents: `recipes/tests`, cases as in `tests/cases.rs`. They
//! also have
//!
//! * `receipts`: a report as `json`, `form` or `query`, its `headers`, its `hmac` of the body and of what comes `after` it,
//!   and what it means;
//! * in `check` the `bodies` of the request by channel.

mod facts;

use std::collections::HashMap;
use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::cases::{Case, PUBLIC_URL, filled, pairs, reply, text};
use crate::domain::Channel;
use crate::double::{Double, Received, message};
use crate::{CallbackError, ProviderSettings, Receipt, RecipeCallbacks};

#[test]
fn every_recipe_says_what_it_is_and_has_no_unknown_members() {
    for (name, text) in FILES {
        let json: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(unknown_members(&json), Vec::<String>::new(), "{name}");
        let recipe: Recipe = serde_json::from_value(json).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!recipe.about.is_empty() && !recipe.sources.is_empty(), "{name}");
        assert!(
            recipe.settings.contains_key("url"),
            "{name}: a test and a private gateway need another address"
        );
        assert!(recipe.settings.values().all(|setting| !setting.about.is_empty()), "{name}");
        assert!(
            recipe.settings.values().any(|setting| setting.secret),
            "{name}: a credential makes addresses secret"
        );
    }
    assert_eq!(Recipe::all().count(), FILES.len());
}

/// The paths of members that a recipe does not have.
fn unknown_members(recipe: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let read = serde_ignored::deserialize(recipe, |path| found.push(path.to_string()));
    let _: HttpGatewaySettings = read.expect("a description");
    found.retain(|path| !["about", "sources", "notes", "settings"].contains(&path.as_str()));
    found
}

const RECIPES_MD: &str = "\
# Recipes

For [`gateways`](gateways.md#gateways-with-a-recipe). None was tried against the live service.

*Receipts*: the provider reports what became of a message; a signature proves it if the recipe has a setting for its key,
else the key in the address. *Doctor*: `onceward doctor` checks the account. Parentheses contain a default. Every recipe
also takes `url`, another address of the API.
";

#[test]
fn recipes_md_says_what_the_recipes_say() {
    let path = format!("{}/../../docs/reference/recipes.md", env!("CARGO_MANIFEST_DIR"));
    let mut made = RECIPES_MD.to_owned();
    for (name, recipe) in Recipe::all() {
        let mut tags: Vec<&str> = recipe.channels().iter().map(|channel| channel.as_str()).collect();
        tags.extend(recipe.gateway.receipts.is_some().then_some("receipts"));
        tags.extend(recipe.gateway.account.is_some().then_some("doctor"));
        let _ = write!(made, "\n## {name}\n\n{}: {}.\n\n", recipe.about, tags.join(", "));
        for (setting, RecipeSetting { about, default, secret }) in &recipe.settings {
            let kind = match default.as_deref() {
                // The address that the provider gives to all accounts.
                Some(default) if setting == "url" && !default.is_empty() => continue,
                None if *secret => " (credential)".to_owned(),
                None => String::new(),
                Some("") => " (optional)".to_owned(),
                Some(default) => format!(" (`{default}`)"),
            };
            let _ = writeln!(made, "* `{setting}`{kind}: {about}");
        }
        let notes = recipe.notes.iter().map(|note| format!("* {note}\n"));
        made.extend(notes);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).expect("write the document");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == made,
        "run `UPDATE_DOCS=1 cargo test -p onceward-gateway recipe` and review the difference"
    );
}

#[tokio::test]
async fn every_recipe_asks_what_the_provider_documents() {
    for case in cases() {
        case.sends_its_request().await;
        let documented = case.documented.get("account");
        assert_eq!(case.http("").account.is_some(), documented.is_some(), "{}", case.name);
        case.examines_its_account().await;
    }
}

#[tokio::test]
async fn every_answer_has_the_class_that_the_provider_documents() {
    for case in cases() {
        for kind in ["good", "refused number", "unauthorized", "throttled", "server error"] {
            assert!(case.list("answers").any(|answer| answer["about"] == kind), "{}: {kind}", case.name);
        }
        case.understands_its_answers().await;
    }
}

#[tokio::test]
async fn a_code_is_checked_as_the_provider_documents() {
    for case in cases() {
        let Some(check) = case.documented.get("check") else { continue };
        for channel in Channel::ALL {
            let body = &check["bodies"][channel.as_str()];
            assert_eq!(
                body.is_object(),
                case.http("").channels.contains(&channel),
                "{}: {channel}",
                case.name
            );
            if body.is_object() {
                let received = case.checks(channel, &check["answers"][0]).await;
                case.has(&received, &json!({ "target": check["target"], "json": body }));
                case.has_credentials(&received);
            }
        }
        for answer in check["answers"].as_array().expect("answers") {
            case.checks(Channel::Sms, answer).await;
        }
    }
}

#[tokio::test]
async fn a_report_is_taken_from_the_provider_and_from_no_other() {
    for case in cases() {
        let settings = case.http("https://sms.example.com");
        assert_eq!(settings.receipts.is_some(), case.documented.get("receipts").is_some(), "{}", case.name);
        let Some(other) = RecipeCallbacks::new([&settings].into_iter()) else { continue };
        let mut double = Double::playing([reply(&case.documented["answers"][0])]).await;
        case.gateway(&double).send(&case.message()).await.expect("accepted");
        let received = double.request().await;
        let own = case.http(&double.base_url());
        let own = RecipeCallbacks::new([&own].into_iter()).expect("receipts");
        for report in case.list("receipts") {
            let (headers, body) = signed(report);
            let mut address = address_in(&received);
            address.extend(report.get("query").map(|query| format!("&{}", form_of(query))));
            let read = own.read(&address, &headers, body.as_bytes());
            let read = read.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let [Ok(Receipt { attempt, gateway, message_id, status, code, class, said })] = read.as_slice()
            else {
                panic!("{}: {read:?} of {body}", case.name);
            };
            assert_eq!(*attempt, message("").attempt, "{}", case.name);
            assert_eq!(gateway.map(GatewayName::as_str), Some("acme"), "{}", case.name);
            let refused = (report["receipt"] == "failed").then_some("Refused").map(Value::from);
            let [found, expected] = [
                json!([message_id, status.as_str(), code, class.map(|class| class.to_string())]),
                json!([
                    filled(text(&report["id"])),
                    report["receipt"],
                    report["code"],
                    report.get("class").or(refused.as_ref()),
                ]),
            ];
            assert_eq!(found, expected, "{}", case.name);
            assert_eq!(said.as_deref(), report["said"].as_str(), "{}: {body}", case.name);

            let none = HeaderMap::new();
            let mut refused = vec![
                // With other credentials, at another gateway.
                (&other, address.clone(), &none, body.clone()),
                (&other, address.replace("/acme", "/other"), &headers, body.clone()),
            ];
            if report.get("hmac").is_some() {
                // Without a proof, with another body.
                refused.push((&own, address.clone(), &none, body.clone()));
                refused.push((&own, address, &headers, format!("{body} ")));
            } else {
                // For another attempt, without a proof.
                refused.push((&own, address.replace("-0&", "-1&"), &headers, body.clone()));
                let without = address.split("&key").next().expect("a part").to_owned();
                refused.push((&own, without, &headers, body));
            }
            for (callbacks, address, headers, body) in refused {
                let read = callbacks.read(&address, headers, body.as_bytes());
                assert_eq!(read, Err(CallbackError::NotFromProvider), "{}: {address}", case.name);
            }
        }
    }
}

/// <https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages>, June 2026:
/// `entry`, `changes` and `statuses` are lists.
#[test]
fn a_bad_report_of_a_batch_loses_no_other_one_and_no_batch_is_endless() {
    let case = cases().find(|case| case.name == "meta-whatsapp").expect("a case");
    let settings = case.http("https://sms.example.com");
    let callbacks = RecipeCallbacks::new([&settings].into_iter()).expect("receipts");
    let read = |body: Value| {
        let hmac = json!({"header": "X-Hub-Signature-256", "prefix": "sha256=", "key": "app-s3cret"});
        let (headers, body) = signed(&json!({ "json": body, "hmac": hmac }));
        callbacks.read("/callbacks/gateways/acme", &headers, body.as_bytes()).expect("genuine")
    };
    let change = |statuses: Vec<Value>| json!({"value": {"statuses": statuses}});
    let status =
        |id: &str, state: &str| json!({"id": id, "status": state, "biz_opaque_callback_data": "{attempt}"});
    let entries = [
        json!({"changes": [change(vec![status("1", "sent"), status("2", "w3ird 12345")]), {"value": {}}]}),
        json!({"changes": [change(vec![json!(7), json!({"id": "x", "status": "read"}), status("3", "read")])]}),
    ];
    let found = read(json!({ "entry": entries })).into_iter().map(|read| match read {
        Ok(receipt) => receipt.message_id,
        Err(error) => error.to_string(),
    });
    let unknown = "the recipe does not know its state \"w3ird ***\"";
    assert_eq!(found.collect::<Vec<_>>(), ["1", unknown, "it has no state", "3"]);
    let endless = vec![status("1", "sent"); 1_002];
    let found = read(json!({"entry": [{"changes": [change(endless)]}]}));
    assert_eq!(found.iter().filter(|read| read.is_ok()).count(), 1_000);
    assert!(found.last().is_some_and(Result::is_err), "the rest is named");
}

fn cases() -> impl Iterator<Item = Case> {
    Recipe::all().map(|(name, recipe)| {
        let path = format!("{}/recipes/tests/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let documented = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        Case::of_recipe(name, recipe.clone(), documented)
    })
}

impl Case {
    pub fn of_recipe(name: &str, recipe: Recipe, documented: Value) -> Self {
        let given = documented["settings"].clone();
        let secrets = recipe.settings.iter().filter(|(_, setting)| setting.secret);
        let secrets = secrets.filter_map(|(name, _)| given[name].as_str().map(str::to_owned)).collect();
        let settings = move |url: &str| {
            let values = pairs(&given).chain([("url", url)]);
            let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let name = GatewayName::of("acme").expect("a name");
            ProviderSettings::Http(recipe.filled_in(name, "ONCEWARD_GATEWAYS_ACME_", values))
        };
        Self { name: name.to_owned(), settings: Box::new(settings), secrets, documented }
    }

    pub fn http(&self, url: &str) -> HttpGatewaySettings {
        let ProviderSettings::Http(settings) = (self.settings)(url) else {
            panic!("no recipe: {}", self.name)
        };
        settings
    }
}

fn signed(report: &Value) -> (HeaderMap, String) {
    let body = match (report.get("json"), report.get("form"), report.get("query")) {
        (Some(json), None, None) => filled(&json.to_string()),
        (None, Some(form), None) => form_of(form),
        (None, None, Some(_)) => String::new(),
        _ => panic!("a report has one form: {report}"),
    };
    let headers = pairs(&report["headers"]).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut headers: HashMap<String, String> = headers.collect();
    if let Some(hmac) = report.get("hmac") {
        let member = |name: &str| hmac[name].as_str().unwrap_or_default();
        let mac = Hmac::<Sha256>::new_from_slice(member("key").as_bytes()).expect("a key");
        let made = mac.chain_update(&body).chain_update(member("after")).finalize().into_bytes();
        let made = base16ct::lower::encode_string(&made);
        headers.insert(member("header").to_owned(), format!("{}{made}", member("prefix")));
    }
    (HeaderMap::try_from(&headers).expect("headers"), body)
}

fn form_of(fields: &Value) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs(fields)).finish()
}

/// The path and the query at which the provider reports: those of the request, or the one for all messages.
fn address_in(received: &Received) -> String {
    let text =
        received.form().into_iter().map(|(_, value)| value + "\"").collect::<String>() + &received.body;
    let address = text.split(PUBLIC_URL).nth(1).and_then(|behind| behind.split('"').next());
    address.unwrap_or("/callbacks/gateways/acme").to_owned()
}
