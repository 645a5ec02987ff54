//! Each recipe against a double that answers as the provider documents: `recipes/tests`.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use sha2::Sha256;

use super::*;
use crate::clock::ManualClock;
use crate::domain::{Channel, Timestamp};
use crate::double::{Double, Received, Reply, answer, message};
use crate::{
    Callback, CallbackError, Gateway, GatewayError, OutgoingMessage, ProviderSettings, Receipt,
    RecipeCallbacks,
};

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
    check: Option<Check>,
}

/// The request for a message. `{attempt}` stands for the attempt, `{callback}` for an address of this server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    target: String,
    /// How headers begin.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    basic: Option<[String; 2]>,
    json: Option<Value>,
    form: Option<BTreeMap<String, String>>,
    xml: Option<String>,
}

/// An answer, and the id or the verdict that is taken from it or the class of the error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default)]
    about: String,
    status: u16,
    body: Value,
    id: Option<String>,
    verdict: Option<String>,
    class: Option<String>,
    code: Option<u32>,
    #[serde(default)]
    whole: Option<bool>,
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

/// The request about a code by channel, and its answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    target: String,
    bodies: BTreeMap<Channel, Value>,
    answers: Vec<Answer>,
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
    let mut found = Vec::new();
    let read = serde_ignored::deserialize(recipe, |path| found.push(path.to_string()));
    let _: HttpGatewaySettings = read.expect("a description");
    found.retain(|path| !["about", "sources", "notes", "settings"].contains(&path.as_str()));
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
        let mut double = Double::playing([reply(*status, body), reply(*status, body)]).await;
        let gateway = case.gateway(&double);
        let accepted = gateway.send(&case.message()).await;
        let accepted = accepted.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(id.as_ref().is_none_or(|id| accepted.message_id == *id), "{}", case.name);
        case.is_as_documented(&double.request().await);
        // Without a public address no report can arrive.
        let message = OutgoingMessage { callback: None, ..case.message() };
        gateway.send(&message).await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(!double.request().await.body.contains("callbacks"), "{}", case.name);
    }
}

#[tokio::test]
async fn every_answer_has_the_class_that_the_provider_documents() {
    for case in cases() {
        let answers = &case.documented.answers;
        for kind in ["good", "refused number", "unauthorized", "throttled", "server error"] {
            assert!(answers.iter().any(|answer| answer.about == kind), "{}: {kind}", case.name);
        }
        for answer in &answers[1..] {
            let double = Double::playing([reply(answer.status, &answer.body)]).await;
            let sent = case.gateway(&double).send(&case.message()).await;
            let error = sent.expect_err(&format!("{}: {}", case.name, answer.about));
            assert_eq!(
                error.whole_gateway,
                answer.whole.unwrap_or_default(),
                "{}: {}",
                case.name,
                answer.about
            );
            case.is_refusal(answer, &error);
        }
    }
}

#[tokio::test]
async fn a_code_is_checked_as_the_provider_documents() {
    for case in cases() {
        let Some(check) = &case.documented.check else { continue };
        let url = Double::playing([]).await;
        for channel in Channel::ALL {
            let is_served = case.gateway(&url).channels().contains(&channel);
            assert_eq!(check.bodies.contains_key(&channel), is_served, "{}: {channel}", case.name);
        }
        for (channel, body) in &check.bodies {
            let mut double = Double::playing([reply(500, &Value::Null)]).await;
            assert!(case.check(&double, *channel).await.is_err());
            let received = double.request().await;
            assert_eq!(received.request_line, format!("{} HTTP/1.1", check.target), "{}", case.name);
            assert_eq!(serde_json::from_str::<Value>(&received.body).expect("JSON"), *body, "{}", case.name);
            case.has_credentials(&received);
        }
        for answer in &check.answers {
            let double = Double::playing([reply(answer.status, &answer.body)]).await;
            match case.check(&double, Channel::Sms).await {
                Ok(verdict) => assert_eq!(Some(format!("{verdict:?}")), answer.verdict, "{}", answer.body),
                Err(error) => case.is_refusal(answer, &error),
            }
        }
    }
}

#[tokio::test]
async fn a_report_is_taken_from_the_provider_and_from_no_other() {
    for case in cases() {
        let settings = case.settings("https://sms.example.com");
        assert_eq!(settings.receipts.is_some(), !case.documented.receipts.is_empty(), "{}", case.name);
        let Some(other) = RecipeCallbacks::new([&settings].into_iter()) else { continue };
        let Answer { status, body, .. } = &case.documented.answers[0];
        let mut double = Double::playing([reply(*status, body)]).await;
        case.gateway(&double).send(&case.message()).await.expect("accepted");
        let received = double.request().await;
        let own = case.settings(&double.base_url());
        let own = RecipeCallbacks::new([&own].into_iter()).expect("receipts");
        for report in &case.documented.receipts {
            let (headers, body) = case.signed(report);
            let mut address = address_in(&received);
            address.extend(report.query.iter().map(|query| format!("&{}", form_of(query))));
            let read = own.read(&address, &headers, body.as_bytes());
            let read = read.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let [Receipt { attempt, gateway, message_id, status, code, class }] = read.as_slice() else {
                panic!("{}: {read:?} of {body}", case.name);
            };
            assert_eq!(*attempt, message("").attempt, "{}", case.name);
            assert_eq!(gateway.map(GatewayName::as_str), Some("acme"), "{}", case.name);
            let found = (message_id.clone(), status.as_str(), *code);
            assert_eq!(found, (filled(&report.id), report.receipt.as_str(), report.code), "{}", case.name);
            let failed = (report.receipt == "failed").then(|| "Refused".to_owned());
            let expected = report.class.clone().or(failed);
            assert_eq!(class.map(|class| class.to_string()), expected, "{}", case.name);

            let none = HeaderMap::new();
            let mut refused = vec![
                // With other credentials, at another gateway.
                (&other, address.clone(), &none, body.clone()),
                (&other, address.replace("/acme", "/other"), &headers, body.clone()),
            ];
            if report.hmac.is_some() {
                // Without a proof, with another body.
                refused.push((&own, address.clone(), &none, body.clone()));
                refused.push((&own, address, &headers, format!("{body} ")));
            } else {
                // For another attempt, without a proof.
                refused.push((&own, address.replace("-0&", "-1&"), &headers, body.clone()));
                refused.push((
                    &own,
                    address.split("&key").next().expect("a part").to_owned(),
                    &headers,
                    body,
                ));
            }
            for (callbacks, address, headers, body) in refused {
                let read = callbacks.read(&address, headers, body.as_bytes());
                assert_eq!(read, Err(CallbackError::NotFromProvider), "{}: {address}", case.name);
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
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let documented = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        Case { name, recipe, documented }
    };
    Recipe::all().map(case).collect()
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
        self.recipe.filled_in(name, "ONCEWARD_GATEWAYS_ACME_", values)
    }

    fn gateway(&self, double: &Double) -> Arc<dyn Gateway> {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(NOW)));
        let settings = ProviderSettings::Http(self.settings(&double.base_url()));
        settings.build(clock).unwrap_or_else(|problem| panic!("{}: {problem}", self.name))
    }

    fn message(&self) -> OutgoingMessage {
        let message = message("Your code is 012345");
        let callback = Some(Callback { public_url: PUBLIC_URL.into(), attempt: message.attempt });
        OutgoingMessage { callback, channel: self.documented.channel.unwrap_or(Channel::Sms), ..message }
    }

    async fn check(&self, double: &Double, channel: Channel) -> Result<crate::Verdict, GatewayError> {
        let (gateway, message) = (self.gateway(double), self.message());
        gateway.check(message.to, channel, &message.code).await
    }

    fn is_refusal(&self, answer: &Answer, error: &GatewayError) {
        let context = format!("{}: {} {}: {error}", self.name, answer.about, answer.body);
        assert_eq!(Some(error.class.to_string()), answer.class, "{context}");
        assert!(answer.code.is_none() || error.code == answer.code, "{context}");
        assert_eq!(error.gateway.as_str(), "acme", "{context}");
        let secrets = self.recipe.settings.iter().filter(|(_, setting)| setting.secret);
        let mut secrets = secrets.filter_map(|(name, _)| self.documented.settings.get(name));
        assert!(secrets.all(|secret| !error.to_string().contains(secret)), "{context}");
        assert!(!error.to_string().contains("4155552671"), "{context}");
    }

    /// Whether a value is the documented one. An address of this server is replaced first.
    fn is_as_documented(&self, received: &Received) {
        let Request { target, form, json, xml, .. } = &self.documented.request;
        assert_eq!(received.request_line, format!("{target} HTTP/1.1"), "{}", self.name);
        self.has_credentials(received);
        if let Some(form) = form {
            let found = received.form().into_iter().map(|(name, value)| (name, without_address(&value)));
            let expected = form.iter().map(|(name, value)| (name.clone(), filled(value)));
            assert_eq!(found.collect::<BTreeMap<_, _>>(), expected.collect(), "{}", self.name);
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
        let Request { headers, basic, .. } = &self.documented.request;
        let is_of_all = |name: &str| name != "content-type" && !name.starts_with("x-amz");
        for (name, value) in headers.iter().filter(|(name, _)| !received.body.is_empty() || is_of_all(name)) {
            let found = received.header(name).unwrap_or_default();
            assert!(found.starts_with(value.as_str()), "{}: {name}: {found}", self.name);
        }
        if let Some([user, password]) = basic {
            let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            assert_eq!(received.header("authorization"), Some(expected.as_str()), "{}", self.name);
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
            let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key");
            let made = mac.chain_update(&body).chain_update(after).finalize().into_bytes();
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
