//! What the Go framework spells as objects in config.json: gateways, retries and the length of a code.

use schemars::{Schema, json_schema};
use serde_json::{Value, json};

use super::gateways::twilio_kinds::Sid;
use super::gateways::{Identifier, Login, Password, SourceName};
use super::kinds::Flag;
use super::names::nearest;
use super::ranges::{Digits, Retries, RetryWait, Span, Whole};
use super::urls::{BaseUrl, PlainUrl};
use super::value::Setting;

/// The keys of config.json that are such objects.
pub const ROOTS: [&str; 2] = ["sms", "authentication"];

/// One member at the end of a path.
pub struct Member {
    /// Where it stands.
    pub path: &'static str,
    /// The variable or key that it sets.
    pub sets: &'static str,
    /// Whether it is better kept out of config.json.
    pub credential: bool,
    about: &'static str,
    schema: fn() -> Schema,
}

const fn credential(
    path: &'static str,
    sets: &'static str,
    about: &'static str,
    schema: fn() -> Schema,
) -> Member {
    Member { path, sets, credential: true, about, schema }
}

const fn plain(
    path: &'static str,
    sets: &'static str,
    about: &'static str,
    schema: fn() -> Schema,
) -> Member {
    Member { path, sets, credential: false, about, schema }
}

/// All of them.
pub const MEMBERS: [Member; 14] = [
    plain(
        "sms.retry",
        "sms.retry",
        "Whether a message that a gateway does not take is tried again in the background.",
        Flag::schema,
    ),
    plain(
        "sms.max_retries",
        "sms.max_retries",
        "Attempts in the background; then the message is unsendable.",
        Whole::<Retries>::schema,
    ),
    plain(
        "sms.longest_wait",
        "sms.longest_wait",
        "The longest wait between two attempts. A bare number is seconds.",
        Span::<RetryWait>::schema,
    ),
    credential(
        "sms.twilio.sid",
        "TWILIO_ACCOUNT_SID",
        "The account's SID: TWILIO_ACCOUNT_SID.",
        Sid::<'A', 'C'>::schema,
    ),
    credential(
        "sms.twilio.token",
        "TWILIO_AUTH_TOKEN",
        "The account's auth token: TWILIO_AUTH_TOKEN.",
        Password::schema,
    ),
    credential(
        "sms.twilio.verify_sid",
        "TWILIO_SERVICES_ID",
        "The SID of a Verify service: TWILIO_SERVICES_ID.",
        Sid::<'V', 'A'>::schema,
    ),
    credential(
        "sms.sinch.app_id",
        "SINCH_APP_ID",
        "The application's key: SINCH_APP_ID.",
        Identifier::schema,
    ),
    credential(
        "sms.sinch.app_secret",
        "SINCH_APP_SECRET",
        "The application's secret: SINCH_APP_SECRET.",
        Password::schema,
    ),
    plain(
        "sms.sinch.verification_url",
        "SINCH_VERIFICATION_URL",
        "Where verifications are posted: SINCH_VERIFICATION_URL.",
        BaseUrl::schema,
    ),
    credential("sms.mada.username", "MADA_USERNAME", "The account's name: MADA_USERNAME.", Login::schema),
    credential("sms.mada.password", "MADA_PASSWORD", "Its password: MADA_PASSWORD.", Password::schema),
    plain("sms.mada.url", "MADA_URL", "Where messages are posted: MADA_URL.", PlainUrl::schema),
    plain(
        "sms.mada.source_name",
        "MADA_SOURCE_NAME",
        "Whom messages come from: MADA_SOURCE_NAME.",
        SourceName::schema,
    ),
    plain(
        "authentication.otp_length",
        "authentication.otp_length",
        "Another name of otp-length.",
        Whole::<Digits>::schema,
    ),
];

/// The member at a path.
pub fn member(path: &str) -> Option<&'static Member> {
    MEMBERS.iter().find(|member| member.path == path)
}

/// Whether objects are expected there, with members below it.
pub fn is_group(path: &str) -> bool {
    MEMBERS.iter().any(|member| child(member.path, path).is_some())
}

/// The known path beside an unknown one that looks most like it.
pub fn nearest_to(path: &str) -> Option<String> {
    let (group, name) = path.rsplit_once('.')?;
    let name = nearest(name, children(group).into_iter())?;
    Some(format!("{group}.{name}"))
}

/// The names right below a path, each once.
fn children(group: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = MEMBERS.iter().filter_map(|member| child(member.path, group)).collect();
    names.dedup();
    names
}

fn child(path: &'static str, group: &str) -> Option<&'static str> {
    path.strip_prefix(group)?.strip_prefix('.')?.split('.').next()
}

/// One of [`ROOTS`], for its schema only: its members are put into the layer one by one.
#[derive(Debug)]
pub struct Root<const N: usize>;

impl<const N: usize> Setting for Root<N> {
    fn read(_text: &str) -> Option<Self> {
        None
    }

    fn shown(&self) -> String {
        String::new()
    }

    fn accepted() -> String {
        "an object".to_owned()
    }

    fn placeholder() -> Self {
        Self
    }

    fn schema() -> Schema {
        ROOTS.get(N).map(|root| group_schema(root)).unwrap_or_default()
    }
}

fn group_schema(group: &str) -> Schema {
    let mut properties = serde_json::Map::new();
    for name in children(group) {
        let path = format!("{group}.{name}");
        let mut schema = member(&path).map_or_else(|| group_schema(&path), |member| (member.schema)());
        if let Some(member) = member(&path) {
            schema.insert("description".to_owned(), json!(member.about));
        }
        properties.insert(name.to_owned(), Value::from(schema));
    }
    json_schema!({ "type": "object", "properties": properties })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_member_is_looked_for_among_its_neighbours() {
        assert_eq!(nearest_to("sms.twilio.siid").as_deref(), Some("sms.twilio.sid"));
        assert_eq!(nearest_to("sms.max-retries").as_deref(), Some("sms.max_retries"));
        assert_eq!(nearest_to("sms.synch").as_deref(), Some("sms.sinch"));
        assert_eq!(nearest_to("authentication.colour"), None);
    }

    #[test]
    fn groups_are_what_has_members_and_nothing_else() {
        for group in ["sms", "sms.twilio", "sms.sinch", "sms.mada", "authentication"] {
            assert!(is_group(group) && member(group).is_none(), "{group}");
        }
        assert!(!is_group("sms.twilio.sid") && !is_group("sms.twi") && !is_group("brand"));
    }
}
