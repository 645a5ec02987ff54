//! Each recipe against a double that answers as the provider documents: `recipes/tests`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::clock::ManualClock;
use crate::domain::{Channel, Timestamp};
use crate::double::{Double, Received, Reply, answer, message};
use crate::{Callback, CallbackError, Gateway as _, HttpGateway, OutgoingMessage, Receipt, RecipeCallbacks};

const PUBLIC_URL: &str = "https://otp.example.com";

/// Noon of 23 November 2026.
const NOW: u64 = 1_795_435_200_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Documented {
    #[serde(default)]
    channel: Option<Channel>,
    settings: BTreeMap<String, String>,
    request: Request,
    answers: Vec<Answer>,
    #[serde(default)]
    receipts: Vec<Report>,
    account: Option<Account>,
}

/// The request for a message. `{attempt}` stands for the attempt, `{callback}` for an address of this server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    target: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    basic: Option<[String; 2]>,
    aws: Option<Aws>,
    json: Option<Value>,
    form: Option<BTreeMap<String, String>>,
    xml: Option<String>,
}

#[derive(Deserialize)]
struct Aws {
    region: String,
    service: String,
    key_id: String,
    secret: String,
}

/// An answer, and the id that is taken from it or the class of the error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    about: String,
    status: u16,
    body: Value,
    id: Option<String>,
    class: Option<String>,
    code: Option<u32>,
    #[serde(default)]
    whole: bool,
}

/// A report, and what it means. One by GET has a `query`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    json: Option<Value>,
    form: Option<BTreeMap<String, String>>,
    query: Option<BTreeMap<String, String>>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    hmac: Option<Signed>,
    id: String,
    receipt: String,
    class: Option<String>,
    code: Option<u32>,
}

/// HMAC-SHA-256 of the body and what follows it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    header: String,
    #[serde(default)]
    prefix: String,
    key: String,
    #[serde(default)]
    after: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    target: String,
    status: u16,
    body: Value,
    says: String,
}

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
    fn collect(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
        let Some((object, known)) = value.as_object().zip(schema["properties"].as_object()) else { return };
        for (name, value) in object {
            match known.get(name) {
                Some(schema) => collect(schema, value, &format!("{path}{name}."), found),
                None => found.push(format!("{path}{name}")),
            }
        }
    }

    let inline = |settings: &mut schemars::generate::SchemaSettings| settings.inline_subschemas = true;
    let generator = schemars::generate::SchemaSettings::default().with(inline).into_generator();
    let mut found = Vec::new();
    collect(generator.into_root_schema_for::<Recipe>().as_value(), recipe, "", &mut found);
    found
}

const RECIPES_MD: &str = "\
# Recipes

The recipes that come with the program, for [`gateways`](gateways.md#gateways-with-a-recipe). None was tried against the
live service.

*Receipts*: the provider reports what became of a message; a signature proves it if the recipe has a setting for its key,
else the key in the address. *Doctor*: `onceward doctor` checks the account. Parentheses contain a setting's default. Every
recipe also takes `url`, another address of the API.
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
async fn every_recipe_sends_what_the_provider_documents() {
    for case in cases() {
        let Answer { status, body, id, .. } = &case.documented.answers[0];
        let mut double = Double::playing([reply(*status, body)]).await;
        let accepted = case.gateway(&double).send(&case.message()).await;
        let accepted = accepted.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        if let Some(id) = id {
            assert_eq!(accepted.message_id, *id, "{}", case.name);
        }
        case.is_as_documented(&double.request().await);
    }
}

#[tokio::test]
async fn every_recipe_sends_without_a_public_address() {
    for case in cases() {
        let Answer { status, body, .. } = &case.documented.answers[0];
        let mut double = Double::playing([reply(*status, body)]).await;
        let message = OutgoingMessage { callback: None, ..case.message() };
        case.gateway(&double).send(&message).await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let received = double.request().await;
        assert!(!received.body.contains("callbacks"), "{}", received.body);
    }
}

#[tokio::test]
async fn every_answer_has_the_class_that_the_provider_documents() {
    for case in cases() {
        for kind in ["good", "refused number", "unauthorized", "throttled", "server error"] {
            assert!(
                case.documented.answers.iter().any(|answer| answer.about == kind),
                "{}: {kind}",
                case.name
            );
        }
        for Answer { about, status, body, class, code, whole, .. } in &case.documented.answers[1..] {
            let context = format!("{}: {about}", case.name);
            let double = Double::playing([reply(*status, body)]).await;
            let error = case.gateway(&double).send(&case.message()).await.expect_err(&context);
            assert_eq!(Some(error.class.to_string()), *class, "{context}: {error}");
            assert_eq!(error.whole_gateway, *whole, "{context}: {error}");
            assert!(code.is_none() || error.code == *code, "{context}: {error}");
            assert_eq!(error.gateway.as_str(), "acme", "{context}");
        }
    }
}

#[tokio::test]
async fn a_report_is_taken_from_the_provider_and_from_no_other() {
    for case in cases() {
        let settings = case.settings("https://sms.example.com");
        assert_eq!(settings.receipts.is_some(), !case.documented.receipts.is_empty(), "{}", case.name);
        let Some(callbacks) = RecipeCallbacks::new([&settings].into_iter()) else { continue };
        let Answer { status, body, .. } = &case.documented.answers[0];
        let mut double = Double::playing([reply(*status, body)]).await;
        case.gateway(&double).send(&case.message()).await.expect("accepted");
        let received = double.request().await;
        for report in &case.documented.receipts {
            let (headers, body) = case.signed(report);
            let mut address = address_in(&received);
            address.extend(report.query.iter().map(|query| format!("&{}", form_of(query))));
            let read = callbacks_of(&case, &double).read(&address, &headers, body.as_bytes());
            let read = read.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let [Receipt { attempt, gateway, message_id, status, code, class }] = read.as_slice() else {
                panic!("{}: {read:?} of {body}", case.name);
            };
            assert_eq!(*attempt, message("").attempt, "{}", case.name);
            assert_eq!(gateway.map(GatewayName::as_str), Some("acme"), "{}", case.name);
            assert_eq!(*message_id, filled(&report.id), "{}", case.name);
            assert_eq!(status.as_str(), report.receipt, "{}", case.name);
            assert_eq!(*code, report.code, "{}", case.name);
            let failed = (report.receipt == "failed").then(|| "Refused".to_owned());
            assert_eq!(
                class.map(|class| class.to_string()),
                report.class.clone().or(failed),
                "{}",
                case.name
            );

            let refused = |callbacks: &RecipeCallbacks, address: &str, headers: &HeaderMap, body: &str| {
                let read = callbacks.read(address, headers, body.as_bytes());
                assert!(
                    matches!(read, Err(CallbackError::NotFromProvider)),
                    "{}: {address} {read:?}",
                    case.name
                );
            };
            // With other credentials, at another gateway, for another attempt, without a proof, with another body.
            refused(&callbacks, &address, &HeaderMap::new(), &body);
            refused(&callbacks, &address.replace("/acme", "/other"), &headers, &body);
            let own = callbacks_of(&case, &double);
            if report.hmac.is_some() {
                refused(&own, &address, &HeaderMap::new(), &body);
                refused(&own, &address, &headers, &format!("{body} "));
            } else {
                refused(&own, &address.replace("-0&", "-1&"), &headers, &body);
                refused(&own, address.split("&key").next().expect("a part"), &headers, &body);
            }
        }
    }
}

#[tokio::test]
async fn an_account_is_examined_where_the_provider_has_a_request_for_it() {
    for case in cases() {
        assert_eq!(case.recipe.gateway.account.is_some(), case.documented.account.is_some(), "{}", case.name);
        let Some(Account { target, status, body, says }) = &case.documented.account else { continue };
        let mut double = Double::playing([reply(*status, body), reply(401, &Value::Null)]).await;
        let gateway = case.gateway(&double);
        let found = gateway.examine_account().await;
        let state = found[0].state.as_ref().unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(state.contains(says.as_str()), "{}: {state}", case.name);
        let asked = double.request().await;
        assert_eq!(asked.request_line, format!("{target} HTTP/1.1"), "{}", case.name);
        case.has_credentials(&asked);
        assert!(gateway.examine_account().await[0].state.is_err(), "{}", case.name);
    }
}

/// A recipe and its provider.
struct Case {
    name: &'static str,
    recipe: &'static Recipe,
    documented: Documented,
}

fn cases() -> Vec<Case> {
    let case = |(name, recipe): (&'static str, &'static Recipe)| {
        let path = format!("{}/recipes/tests/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let documented = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        Case { name, recipe, documented }
    };
    Recipe::all().map(case).collect()
}

fn callbacks_of(case: &Case, double: &Double) -> RecipeCallbacks {
    RecipeCallbacks::new([&case.settings(&double.base_url())].into_iter()).expect("receipts")
}

fn reply(status: u16, body: &Value) -> Reply {
    let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    Reply::Bytes(answer(status, &[], &text))
}

impl Case {
    fn settings(&self, url: &str) -> HttpGatewaySettings {
        let mut values = self.documented.settings.clone();
        values.insert("url".to_owned(), url.to_owned());
        let name = GatewayName::of("acme").expect("a name");
        let settings = self.recipe.filled_in(name, "ONCEWARD_GATEWAYS_ACME_", values);
        settings.examine().unwrap_or_else(|problem| panic!("{}: {problem}", self.name));
        settings
    }

    fn gateway(&self, double: &Double) -> HttpGateway {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(NOW)));
        HttpGateway::new(&self.settings(&double.base_url()), clock).expect("a gateway")
    }

    fn message(&self) -> OutgoingMessage {
        let message = message("Your code is 012345");
        let callback = Some(Callback { public_url: PUBLIC_URL.into(), attempt: message.attempt });
        let channel = self.documented.channel.unwrap_or(Channel::Sms);
        OutgoingMessage { callback, channel, valid_for: Duration::from_millis(25_900), ..message }
    }

    /// Whether a value is the documented one. An address of this server is replaced first.
    fn is_as_documented(&self, received: &Received) {
        let Request { target, form, json, xml, .. } = &self.documented.request;
        assert_eq!(received.request_line, format!("{target} HTTP/1.1"), "{}", self.name);
        self.has_credentials(received);
        if let Some(form) = form {
            let found: BTreeMap<String, String> = received.form().into_iter().collect();
            let found = found.into_iter().map(|(name, value)| (name, without_address(&value))).collect();
            let expected: BTreeMap<String, String> =
                form.iter().map(|(name, value)| (name.clone(), filled(value))).collect();
            assert_eq!(expected, found, "{}", self.name);
        }
        if let Some(xml) = xml {
            assert_eq!(received.body, *xml, "{}", self.name);
        }
        if let Some(json) = json {
            let found: Value = serde_json::from_str(&without_address(&received.body)).expect("JSON");
            let expected: Value = serde_json::from_str(&filled(&json.to_string())).expect("JSON");
            assert_eq!(expected, found, "{}", self.name);
        }
    }

    fn has_credentials(&self, received: &Received) {
        let Request { headers, basic, aws, .. } = &self.documented.request;
        for (name, value) in headers.iter().filter(|(name, _)| *name != "content-type") {
            assert_eq!(received.header(name), Some(value.as_str()), "{}: {name}", self.name);
        }
        if let Some([user, password]) = basic {
            let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            assert_eq!(received.header("authorization"), Some(expected.as_str()), "{}", self.name);
        }
        if let Some(aws) = aws {
            assert_eq!(received.header("authorization"), Some(aws.authorization(received).as_str()));
        }
    }

    fn signed(&self, report: &Report) -> (HeaderMap, String) {
        let body = match (&report.json, &report.form, &report.query) {
            (Some(json), None, None) => filled(&json.to_string()),
            (None, Some(form), None) => form_of(form),
            (None, None, Some(_)) => String::new(),
            _ => panic!("{}: a report has one form", self.name),
        };
        let mut headers: BTreeMap<String, String> = report.headers.clone();
        if let Some(Signed { header, prefix, key, after }) = &report.hmac {
            let made = hmac(key.as_bytes(), &format!("{body}{after}"));
            headers.insert(header.clone(), format!("{prefix}{}", base16ct::lower::encode_string(&made)));
        }
        let header = |(name, value): (String, String)| {
            (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(&value).expect("a value"))
        };
        (headers.into_iter().map(header).collect(), body)
    }
}

fn form_of(fields: &BTreeMap<String, String>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn filled(text: &str) -> String {
    text.replace("{attempt}", &message("").attempt.to_string())
}

/// The path and the query at which the provider reports: those of the request, or the one for all messages.
fn address_in(received: &Received) -> String {
    let text =
        received.form().into_iter().map(|(_, value)| value + "\"").collect::<String>() + &received.body;
    let address = text.split(PUBLIC_URL).nth(1).and_then(|behind| behind.split('"').next());
    address.unwrap_or("/callbacks/gateways/acme").to_owned()
}

/// A text with `{callback}` in the place of an address of this server.
fn without_address(text: &str) -> String {
    let Some(at) = text.find(&format!("{PUBLIC_URL}/callbacks/gateways/acme?attempt=")) else {
        return text.to_owned();
    };
    let length = text[at..].find('"').unwrap_or(text.len() - at);
    let key = text[at..at + length].split_once("&key=").expect("a key").1;
    assert!(key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit()), "{key}");
    text.replacen(&text[at..at + length], "{callback}", 1)
}

impl Aws {
    /// Computed from what arrived, by the steps of AWS's guide.
    fn authorization(&self, received: &Received) -> String {
        let given = received.header("authorization").expect("a header");
        let names =
            given.split("SignedHeaders=").nth(1).and_then(|rest| rest.split(',').next()).expect("names");
        for name in ["host", "x-amz-date", "x-amz-target", "content-type"] {
            assert!(names.split(';').any(|signed| signed == name), "{name} is not signed");
        }
        let time = received.header("x-amz-date").expect("a time");
        assert_eq!(time, "20261123T120000Z");
        let mut canonical = "POST\n/\n\n".to_owned();
        for name in names.split(';') {
            canonical.extend([name, ":", received.header(name).expect("a header"), "\n"]);
        }
        let hash = |text: &str| base16ct::lower::encode_string(&Sha256::digest(text.as_bytes()));
        canonical.extend(["\n", names, "\n", &hash(&received.body)]);
        let Self { region, service, key_id, secret } = self;
        let scope = format!("20261123/{region}/{service}/aws4_request");
        let day = hmac(format!("AWS4{secret}").as_bytes(), "20261123");
        let key = hmac(&hmac(&hmac(&day, region), service), "aws4_request");
        let signature = hmac(&key, &format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(&canonical)));
        let signature = base16ct::lower::encode_string(&signature);
        format!("AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
