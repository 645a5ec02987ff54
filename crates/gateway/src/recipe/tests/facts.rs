//! Each recipe against its provider's pages: `tests/facts/providers`, whose rows are
//!
//! * `must`, `may`: a pointer to a value of the request (a field of a form or a query is a member), what it may be, and the
//!   page's words. What has no row the provider does not know;
//! * `code`, `receipt`: an error code of an answer or of a receipt, the class that follows from the words, and the words. The
//!   class `-` leaves it to the HTTP status, or in a receipt to what `failed` means;
//! * `state`: a state of a receipt, what it means, `-` for nothing, and the words;
//! * `unknown`: what no page says. The recipe's notes say so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::de::IntoDeserializer as _;

use super::*;
use crate::OutgoingMessage;
use crate::domain::{Code, CodeLength};
use crate::double::Reply;
use crate::http_gateway::xml;
use crate::provider::CodeClass;
use crate::template::Alphabet;

#[test]
fn every_code_of_a_provider_has_the_class_of_its_words_and_no_other_code_has_one() {
    for (name, recipe, table) in tables() {
        let HttpGatewaySettings { errors, receipts, .. } = &recipe.gateway;
        let own = receipts.as_ref().map(|receipts| &receipts.classes).filter(|own| !own.is_empty());
        let mut listed: [BTreeMap<&str, CodeClass>; 2] = [BTreeMap::new(), BTreeMap::new()];
        for [kind, code, class, words] in table.rows(["code", "receipt"]) {
            if class == "-" {
                continue;
            }
            let class = class_named(class);
            assert!(ends_nothing(class) || blames_the_number(words), "{name} {code}: {words}");
            listed[usize::from(kind == "receipt" && own.is_some())].insert(code, class);
        }
        let of = |classes: &BTreeMap<String, CodeClass>| {
            let codes = classes.iter().filter(|(code, _)| !code.starts_with("http-"));
            codes.map(|(code, class)| (code.clone(), *class)).collect::<BTreeMap<_, _>>()
        };
        let found = [of(&errors.classes), own.map(of).unwrap_or_default()];
        let listed = listed.map(|of| of.into_iter().map(|(code, class)| (code.to_owned(), class)).collect());
        for (found, listed) in found.into_iter().zip::<[BTreeMap<String, CodeClass>; 2]>(listed) {
            let differ = |code: &&String| found.get(*code) != listed.get(*code);
            let wrong: Vec<_> = found.keys().chain(listed.keys()).filter(differ).collect();
            assert!(wrong.is_empty(), "{name}: {wrong:?} have other classes in the table");
        }
    }
}

#[test]
fn every_state_of_a_receipt_means_what_the_page_says() {
    for (name, recipe, table) in tables() {
        let states = recipe.gateway.receipts.iter().flat_map(|receipts| &receipts.states);
        let found = states
            .flat_map(|(means, states)| states.0.iter().map(move |state| (state.as_str(), means.as_str())));
        let rows = table.rows(["state", "state"]).filter(|row| row[2] != "-");
        let listed: BTreeMap<_, _> = rows.map(|[_, state, means, _]| (state, means)).collect();
        assert_eq!(found.collect::<BTreeMap<_, _>>(), listed, "{name}");
    }
}

#[test]
fn what_no_page_says_is_named_in_the_notes_of_the_recipe() {
    for (name, recipe, table) in tables() {
        for [_, what, ..] in table.rows(["unknown", "unknown"]) {
            let says_so = |note: &String| note.contains(what);
            assert!(recipe.notes.iter().any(says_so), "{name}: a note must say {what:?}");
        }
    }
}

/// Each life, length of a code and text is one that the server has by default or may be set to.
#[tokio::test]
async fn the_provider_takes_what_the_server_sends() {
    let tables: BTreeMap<_, _> = tables().map(|(name, _, table)| (name, table)).collect();
    for case in cases() {
        let Some(table) = tables.get(case.name.as_str()) else { continue };
        let good = reply(&case.documented["answers"][0]);
        for (life, digits, text) in [
            (
                29_900,
                6,
                "Your code is 012345. Do not share it with anyone; our employees will never ask for the code.",
            ),
            (599_900, 6, "Your Owl Bank verification code is: 012345"),
            (3_600_000, 4, "Код: 0123"),
            (30_000, 10, "Your code is 0123456789"),
        ] {
            let problem = Arc::new(Mutex::new(None));
            let (rules, found, good) = (table.clone(), problem.clone(), good.clone());
            let double = Double::answering(move |received| {
                let refused = rules.refuses(received).err();
                let reply = if refused.is_some() { Reply::json(400, "") } else { good.clone() };
                *found.lock().expect("the problem") = refused;
                Some(reply)
            })
            .await;
            let code = Code::from_value(12_345, CodeLength::new(digits).expect("a length"));
            let digits = usize::from(digits);
            let channels = case.http("").channels;
            for channel in channels {
                let message = OutgoingMessage {
                    channel,
                    text: text.to_owned(),
                    code: code.clone(),
                    valid_for: Duration::from_millis(life),
                    ..case.message()
                };
                let sent = case.gateway(&double).send(&message).await;
                let takes =
                    case.http("").code_digits.is_none_or(|[least, most]| (least..=most).contains(&digits));
                let context = format!("{}, {digits} digits, {life} ms: {sent:?}", case.name);
                assert_eq!(sent.is_ok(), takes, "{context} {:?}", problem.lock().expect("the problem"));
            }
        }
    }
}

/// What the pages of one provider say: the columns of each row.
#[derive(Clone)]
struct Table(Vec<[&'static str; 4]>);

fn tables() -> impl Iterator<Item = (&'static str, &'static Recipe, Table)> {
    Recipe::all().filter_map(|(name, recipe)| {
        let path = format!("{}/../../tests/facts/providers/{name}.tsv", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).ok()?;
        let text: &str = text.leak();
        let head = text.lines().take_while(|line| line.starts_with('#')).collect::<String>();
        assert!(head.contains("seen on 20"), "{name}: the head says when the pages were seen");
        let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let mut columns = line.split('\t');
            let row = [(); 4].map(|()| columns.next().unwrap_or_default());
            assert!(
                ["must", "may", "code", "receipt", "state", "unknown"].contains(&row[0]),
                "{name}: {line}"
            );
            assert!(!row[1].is_empty() && columns.next().is_none(), "{name}: {line}");
            row
        });
        Some((name, recipe, Table(rows.collect())))
    })
}

impl Table {
    fn rows(&self, kinds: [&str; 2]) -> impl Iterator<Item = [&'static str; 4]> {
        self.0.iter().copied().filter(move |row| kinds.contains(&row[0]))
    }

    /// What the provider would not take in a request.
    fn refuses(&self, received: &Received) -> Result<(), String> {
        let mut values = BTreeMap::new();
        flatten("", &values_of(received), &mut values);
        let text = values.values().find(|value| value.contains("0123")).cloned().unwrap_or_default();
        for [kind, at, rule, _] in self.rows(["must", "may"]) {
            match values.remove(at) {
                Some(value) if takes(rule, &value, &text) => {}
                Some(value) => return Err(format!("{at} is {value:?}, and must be {rule}")),
                None if kind == "must" => return Err(format!("{at} is missing")),
                None => {}
            }
        }
        if values.is_empty() { Ok(()) } else { Err(format!("it does not know {values:?}")) }
    }
}

/// The body, or without one the query.
fn values_of(received: &Received) -> Value {
    let target = received.request_line.split(' ').nth(1).expect("a target");
    let form = |text: &str| -> Value {
        let fields = url::form_urlencoded::parse(text.as_bytes());
        fields.map(|(name, value)| (name.into_owned(), Value::from(value))).collect()
    };
    match received.body.as_str() {
        "" => form(target.split_once('?').map_or("", |(_, query)| query)),
        xml if xml.starts_with('<') => xml::read(xml).expect("XML"),
        body => serde_json::from_str(body).unwrap_or_else(|_| form(body)),
    }
}

fn flatten(at: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| flatten(&format!("{at}/{name}"), value, into));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(place, value)| flatten(&format!("{at}/{place}"), value, into));
        }
        value => drop(into.insert(at.to_owned(), as_text(value).unwrap_or_default())),
    }
}

/// Whether a rule of a table takes a value: `number LEAST MOST`, `digits LEAST MOST`, `characters LEAST MOST`, `e164`,
/// `sender MOST` (digits, or so many letters and digits), `one-of WORD...`, `alphabet GSM7 UCS2`, `any`.
fn takes(rule: &str, value: &str, text: &str) -> bool {
    let mut words = rule.split(' ');
    let kind = words.next().unwrap_or_default();
    let words: Vec<&str> = words.collect();
    let within = |number: usize| {
        let [least, most] = [0, 1].map(|place| words[place].parse().expect("a bound"));
        (least..=most).contains(&number)
    };
    let is_digits = |value: &str| value.bytes().all(|b| b.is_ascii_digit());
    let is_number = |value: &str| (7..=15).contains(&value.len()) && is_digits(value);
    match kind {
        "number" => value.parse().is_ok_and(within),
        "digits" => is_digits(value) && within(value.len()),
        "characters" => within(value.chars().count()),
        "e164" => value.strip_prefix('+').is_some_and(is_number),
        "sender" => {
            let most = words[0].parse().expect("a bound");
            is_number(value.trim_start_matches('+'))
                || (1..=most).contains(&value.len())
                    && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ')
        }
        "one-of" => words.contains(&value),
        "alphabet" => value == words[usize::from(Alphabet::of(text) == Alphabet::Ucs2)],
        "any" => true,
        _ => panic!("there is no rule {rule:?}"),
    }
}

fn class_named(name: &str) -> CodeClass {
    let name: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
    CodeClass::deserialize(name).expect("a class")
}

/// Whether further gateways and channels are asked after an error of this class.
fn ends_nothing(class: CodeClass) -> bool {
    !matches!(class, CodeClass::BadNumber | CodeClass::OptedOut | CodeClass::Fraud)
}

/// Whether words say that it is the destination, or its owner, and not the sender or just any parameter.
fn blames_the_number(words: &str) -> bool {
    let words = words.to_lowercase();
    let of_number = [
        "destination",
        "recipient",
        "subscriber",
        "the user",
        "phone number",
        "mobile number",
        "msisdn",
        "opt",
        "fraud",
    ];
    let of_others = ["source number", "sender", "originator", "one or more parameters", "`from`"];
    of_number.iter().any(|word| words.contains(word)) && !of_others.iter().any(|word| words.contains(word))
}
