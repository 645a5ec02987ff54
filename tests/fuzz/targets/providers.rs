//! Answers of providers, read by the real gateways with their HTTP client; and gateways that an operator describes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use onceward::clock::{Clock, ManualClock};
use onceward::domain::{
    AttemptId, AttemptLogKey, Channel, Code, GatewayName, PhoneNumber, ServiceId, Timestamp,
};
use onceward::gateway::{
    ErrorClass, Gateway, GatewayError, OutgoingMessage, ProviderSettings, Recipe, TwilioAccount,
    TwilioSender, TwilioSettings, TwilioVerifySettings, TwilioVoiceSettings, Verdict, older,
};
use onceward::template::Wording;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::support::provider::Provider;
use super::support::{first_line, text};

const NUMBER: u64 = 14_155_550_123;
const CODE: &str = "738291";
const SECRET: &str = "hunter2hunter2";

/// The gateway, the status, header lines up to an empty line, and the body. The target replaces `{to}`, `{code}` and
/// `{secret}` by the sent values, because a provider may repeat them.
pub fn providers(input: &[u8]) {
    let Some(input) = text(input) else { return };
    let input =
        input.replace("{to}", &NUMBER.to_string()).replace("{code}", CODE).replace("{secret}", SECRET);
    let (which, rest) = first_line(&input);
    let (status, rest) = first_line(rest);
    let status = status.parse().unwrap_or(200_u16).clamp(200, 999);
    let (head, body) = rest.split_once("\n\n").unwrap_or((rest, ""));
    with_world(|world| {
        world.provider.answers(status, head, body.as_bytes());
        match which.split_once(' ') {
            Some((which, "check")) => world.check(which, status, body),
            _ => world.send(which, status, body),
        }
    });
}

/// One line each for method, path, a header, JSON body, fields of a form, the JSON pointer of success and its value.
pub fn http_gateway(input: &[u8]) {
    let Some(input) = text(input) else { return };
    let mut lines = input.splitn(7, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (method, path, header, json, form, pointer, equals) =
        (line(), line(), line(), line(), line(), line(), line());
    if !path.starts_with(['/', '?']) {
        return;
    }
    with_world(|world| {
        let json: Option<Value> = serde_json::from_str(json).ok();
        let form = (json.is_none() && !form.is_empty()).then(|| pairs(form));
        let described = Described {
            method: method.to_owned(),
            json,
            form,
            header: header.split_once(": ").map(|(name, _)| name.to_owned()),
        };
        let header: BTreeMap<_, _> = header.split_once(": ").into_iter().collect();
        let recipe = json!({
            "settings": {"username": {}, "password": {"secret": true}, "token": {"secret": true}},
            "method": method,
            "url": format!("{}{path}", world.provider.url()),
            "headers": header,
            "json": described.json,
            "form": described.form,
            "success": if pointer.is_empty() { json!({}) } else { json!({"json": pointer, "equals": [equals]}) },
        });
        let Ok(recipe) = serde_json::from_value::<Recipe>(recipe) else { return };
        let values = [("username", "fuzz"), ("password", SECRET), ("token", SECRET)];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let settings = ProviderSettings::Http(recipe.filled_in(GatewayName::Http, "FUZZ_", values));
        match settings.build(world.clock.clone()) {
            Ok(gateway) => described.sends(world, &*gateway),
            // The error may repeat names of the description, however long.
            Err(error) => {
                let words = error.to_string();
                assert!(!words.contains(SECRET) && !words.chars().any(char::is_control), "{words}");
            }
        }
    });
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
}

/// A description.
struct Described {
    method: String,
    json: Option<Value>,
    form: Option<BTreeMap<String, String>>,
    header: Option<String>,
}

impl Described {
    /// Sends one request, in the described form, for every input.
    fn sends(&self, world: &World, gateway: &dyn Gateway) {
        world.provider.answers(200, "", br#"{"status":0,"id":"a1"}"#);
        if let Err(error) = world.sends(gateway, Channel::Sms) {
            classified(&error);
        }
        let Some(request) = world.provider.received() else { return };
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        let first = head.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("{} ", self.method)), "{first}");
        assert_eq!(first.split(' ').count(), 3, "{first}");
        // Except if the setting requests it.
        let asked_for =
            self.header.as_ref().is_some_and(|name| name.to_ascii_lowercase().starts_with("x-injected"));
        let injected = head.lines().any(|line| line.to_ascii_lowercase().starts_with("x-injected"));
        assert!(asked_for || !injected, "{head}");
        match (&self.json, &self.form) {
            (None, None) => assert_eq!(body, ""),
            (Some(json), _) => {
                let sent: Value =
                    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
                assert!(same_shape(json, &sent), "{json} became {sent}");
            }
            (None, Some(fields)) => {
                let sent: Vec<String> =
                    url::form_urlencoded::parse(body.as_bytes()).map(|(name, _)| name.into_owned()).collect();
                assert_eq!(sent, fields.keys().cloned().collect::<Vec<_>>(), "{body}");
            }
        }
    }
}

/// Only texts may differ.
fn same_shape(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(_), Value::String(_)) => true,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_shape(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same_shape(a, b)))
        }
        (a, b) => a == b,
    }
}

fn classified(error: &GatewayError) {
    let words = format!("{error} {}", error.detail);
    harmless(&words);
    // A number that the provider sends as an error code is printed, whatever it is.
    let code = error.code.map(|code| code.to_string()).unwrap_or_default();
    assert!(!words.replace(&code, "").contains(CODE) || code.contains(CODE), "{words}");
}

fn harmless(words: &str) {
    assert!(!words.contains(SECRET) && !words.contains(&NUMBER.to_string()), "{words}");
    assert!(words.len() < 600 && !words.chars().any(char::is_control), "{words}");
}

struct World {
    runtime: Runtime,
    provider: Provider,
    clock: Arc<dyn Clock>,
    gateways: Vec<NamedGateway>,
}

/// A gateway with its name in the corpus and a channel.
type NamedGateway = (&'static str, Channel, Arc<dyn Gateway>);

fn with_world(run: impl FnOnce(&World)) {
    thread_local! {
        static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    }
    WORLD.with_borrow_mut(|world| run(world.get_or_insert_with(World::start)));
}

impl World {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let provider = runtime.block_on(Provider::start());
        let clock: Arc<dyn Clock> =
            Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        let gateways = gateways(&provider.url(), &clock);
        Self { runtime, provider, clock, gateways }
    }

    fn gateway(&self, which: &str) -> &NamedGateway {
        self.gateways.iter().find(|(name, ..)| *name == which).unwrap_or(&self.gateways[0])
    }

    fn sends(&self, gateway: &dyn Gateway, channel: Channel) -> Result<String, GatewayError> {
        let message = OutgoingMessage {
            to: PhoneNumber::from_u64(NUMBER).expect("a number"),
            channel,
            text: format!("Your code is {CODE}\r\nX-Injected: \"1\" \\ {{to}} & ü=?"),
            locale: None,
            wording: Wording::Api,
            code: Code::parse(CODE).expect("a code"),
            valid_for: Duration::from_secs(300),
            attempt: AttemptId { key: AttemptLogKey::new(ServiceId::DEFAULT, 0, 0), attempt: 0 },
            callback: None,
            sender_name: None,
            send_digits: None,
        };
        let sent = self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), gateway.send(&message)).await.expect("no hang")
        });
        sent.map(|accepted| accepted.message_id)
    }

    fn send(&self, which: &str, status: u16, body: &str) {
        let (name, channel, gateway) = self.gateway(which);
        match self.sends(&**gateway, *channel) {
            Ok(id) => {
                assert!((200..300).contains(&status), "{name} accepted by {status}");
                assert!((1..=72).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()), "{id:?}");
            }
            Err(error) => refused(&**gateway, &error, status, body),
        }
    }

    fn check(&self, which: &str, status: u16, body: &str) {
        let (name, channel, gateway) = self.gateway(which);
        let Some(checker) = gateway.checker() else { return };
        let (to, code) =
            (PhoneNumber::from_u64(NUMBER).expect("a number"), Code::parse(CODE).expect("a code"));
        let verdict = self.runtime.block_on(async {
            let asked = checker.check(to, *channel, &code);
            tokio::time::timeout(Duration::from_secs(20), asked).await.expect("no hang")
        });
        match verdict {
            // Only the exact word in a success approves.
            Ok(Verdict::Approved) => {
                let said: Value = serde_json::from_str(body).expect("JSON");
                let yes = if *name == "sinch" { "SUCCESSFUL" } else { "approved" };
                assert!(said["status"] == yes && said["valid"] != false, "{said}");
                assert!((200..300).contains(&status), "approved by {status}");
            }
            Ok(Verdict::Wrong | Verdict::NotLive) => {}
            Err(error) => refused(&**gateway, &error, status, body),
        }
    }
}

fn refused(gateway: &dyn Gateway, error: &GatewayError, status: u16, body: &str) {
    classified(error);
    if let Err(problem) = gateway.readiness() {
        harmless(&problem);
    }
    assert_eq!(error.gateway, gateway.name());
    // A server error that says nothing about the message leaves its state unknown.
    let says_something = body.contains(['{', '<']);
    if !says_something && !(300..500).contains(&status) {
        assert_eq!(error.class, ErrorClass::Ambiguous, "{status} {body:?}: {error}");
    }
}

fn gateways(url: &str, clock: &Arc<dyn Clock>) -> Vec<NamedGateway> {
    let secret = || SecretString::from(SECRET.to_owned());
    let account = || TwilioAccount {
        account_sid: format!("AC{}", "0".repeat(32)),
        auth_token: secret(),
        base_url: url.to_owned(),
    };
    let sender = TwilioSender::Number("+15005550006".to_owned());
    let messages = TwilioSettings { account: account(), sender, whatsapp: None };
    let voice = TwilioVoiceSettings {
        account: account(),
        from: "+15005550006".to_owned(),
        gate: false,
        ring_for: Duration::from_secs(30),
    };
    let verify = TwilioVerifySettings { account: account(), service_sid: format!("VA{}", "0".repeat(32)) };
    let older = |gateway, values: [(&str, String); 3]| {
        let mut values: BTreeMap<String, String> =
            values.map(|(name, value)| (name.to_owned(), value)).into();
        values.insert("source_name".to_owned(), "Fuzz".to_owned());
        ProviderSettings::Http(older::filled_in(gateway, values))
    };
    let fuzz = || "fuzz".to_owned();
    let sinch = [("app_id", fuzz()), ("app_secret", SECRET.to_owned()), ("url", format!("{url}/sinch"))];
    let mada = [("username", fuzz()), ("password", SECRET.to_owned()), ("url", format!("{url}/mada"))];
    let http = json!({
        "method": "POST",
        "url": format!("{url}/send"),
        "json": {"to": "{to}", "text": "{text}"},
        "success": {
            "json": "/result/0/status", "equals": ["0", "ok"], "message_id": "/result/0/id",
            "bad_number": ["7"], "retry": ["8"],
        },
        "channels": ["sms"],
    });
    let http = serde_json::from_value(http).expect("a description");
    let providers = [
        ("twilio", Channel::Sms, ProviderSettings::TwilioMessages(messages)),
        ("voice", Channel::Call, ProviderSettings::TwilioVoice(voice)),
        ("verify", Channel::Sms, ProviderSettings::TwilioVerify(verify)),
        ("sinch", Channel::Sms, older(GatewayName::Sinch, sinch)),
        ("mada", Channel::Sms, older(GatewayName::Mada, mada)),
        ("http", Channel::Sms, ProviderSettings::Http(http)),
    ];
    let built = |settings: &ProviderSettings| settings.build(Arc::clone(clock)).expect("good settings");
    providers.iter().map(|(name, channel, settings)| (*name, *channel, built(settings))).collect()
}
