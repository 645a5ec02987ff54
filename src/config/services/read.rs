//! `services` of config.json, read and checked.

use serde_json::{Map, Value};

use super::members::Members;
use super::rules;
use super::settings::{ServiceSettings, TemplateSetting, TestNumber};
use super::template::BUILT_IN_TEMPLATES;
use crate::config::kind::{
    Attempts, Choice, Digits, Flag, Kind, Lockout, Named, ServiceLife, Span, Text, Whole, WorkflowSends,
    quoted, shown_json,
};
use crate::config::report::Report;
use crate::config::values::{LocaleTag, Workflow};
use crate::domain::{CodeLength, Timestamp};
use crate::engine::{Policy, SendOptions, SendRules};

/// Services in one file: those beyond are better made over the API.
const MOST: usize = 1_000;

const MEMBERS: [&str; 14] = [
    "friendly-name",
    "code-length",
    "code-life",
    "max-checks",
    "max-sends",
    "lockout",
    "resend",
    "cooling-down",
    "locale",
    "workflow",
    "custom-code",
    "do-not-share-warning",
    "default-template",
    "test-numbers",
];
const OF_TEST_NUMBER: [&str; 4] = ["pattern", "code", "expires", "force"];

/// The service of the compatible routes has this name already.
const DEFAULT: &str = "default";

/// The services, each with everything that is not said in its default. What is wrong is noted.
pub fn services(
    services: Map<String, Value>,
    origin: &str,
    templates: &[TemplateSetting],
    report: &mut Report,
) -> Vec<ServiceSettings> {
    if services.len() > MOST {
        let problem =
            format!("it has {} services, and may have {MOST}. Make more over the API", services.len());
        report.problem("services", problem, origin.to_owned());
    }
    let mut read = Vec::new();
    for (name, value) in services {
        let path = format!("services.{name}");
        let problem = if name.eq_ignore_ascii_case(DEFAULT) {
            "the service \"default\" is described by the top-level keys, such as otp-length".to_owned()
        } else if let Some(problem) = name_problem(&name) {
            problem
        } else if let Value::Object(members) = value {
            let members = Members::new(&path, members, &MEMBERS, origin, report);
            read.extend(service(name, members, templates, origin));
            continue;
        } else {
            format!("it must be an object, and is {}", shown_json(&value))
        };
        report.problem(path, problem, origin.to_owned());
    }
    same_names(&read, origin, report);
    read
}

/// What is wrong with the name of a service or template, if anything is.
pub(super) fn name_problem(name: &str) -> Option<String> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let fits = plain && (1..=64).contains(&name.len());
    (!fits).then(|| "a name has 1 to 64 letters, digits, hyphens and underscores".to_owned())
}

/// Two that are called the same cannot be told apart in messages, nor on the command line.
fn same_names(services: &[ServiceSettings], origin: &str, report: &mut Report) {
    for (at, service) in services.iter().enumerate() {
        let other = services[..at].iter().find(|other| other.friendly_name == service.friendly_name);
        if let Some(other) = other {
            report.warn(format!(
                "services.{} and services.{} have the same friendly-name; given by {origin}",
                other.name, service.name
            ));
        }
    }
}

fn service(
    name: String,
    mut members: Members<'_>,
    templates: &[TemplateSetting],
    origin: &str,
) -> Option<ServiceSettings> {
    let m = &mut members;
    let friendly_name = friendly_name(&name, m);
    let digits = setting::<Whole<Digits>>(m, "code-length");
    let code_length = digits.map_or(Some(SendOptions::DEFAULT.length), |digits| {
        u8::try_from(digits).ok().and_then(CodeLength::new)
    });
    let life = setting::<Span<ServiceLife>>(m, "code-life");
    let checks = setting::<Whole<Attempts>>(m, "max-checks").unwrap_or(Policy::DEFAULT_MAX_ATTEMPTS.into());
    let sends = setting::<Whole<WorkflowSends>>(m, "max-sends").unwrap_or(SendRules::DEFAULT_MAX.into());
    let lockout = setting::<LockoutChoice>(m, "lockout").flatten();
    let resend = setting::<Choice<ResendChoice>>(m, "resend");
    let cooling_down = flag(m, "cooling-down");
    let locale = setting::<LocaleTag>(m, "locale");
    let workflow = setting::<Workflow>(m, "workflow").filter(|steps| !steps.is_empty());
    let custom_code = flag(m, "custom-code");
    let do_not_share_warning = flag(m, "do-not-share-warning");
    let default_template = default_template(m, templates);
    let test_numbers = test_numbers(m);
    Some(ServiceSettings {
        name,
        friendly_name: friendly_name?,
        code_length: code_length?,
        code_life: life.unwrap_or(SendOptions::DEFAULT.life),
        max_checks: u8::try_from(checks).ok()?,
        max_sends: u8::try_from(sends).ok()?,
        lockout,
        resend_new: resend == Some(ResendChoice::New),
        cooling_down,
        locale,
        workflow: workflow.map(|steps| Workflow::text(&steps)),
        custom_code,
        do_not_share_warning,
        default_template,
        test_numbers,
        origin: origin.to_owned(),
    })
}

/// A member of a kind that keys have too. `None` when it is missing, or after an error.
pub(super) fn setting<T: Kind>(members: &mut Members<'_>, name: &str) -> Option<T::Value> {
    let value = members.take(name)?;
    let read = T::of(&value);
    if read.is_none() {
        members.wrong(name, Some(shown_json(&value)), &format!("it must be {}", T::accepted()));
    }
    read
}

fn flag(members: &mut Members<'_>, name: &str) -> bool {
    setting::<Flag>(members, name).unwrap_or_default()
}

/// What its messages call it: its name, where nothing else is said.
fn friendly_name(name: &str, members: &mut Members<'_>) -> Option<String> {
    let given = members.has("friendly-name");
    let text = match setting::<Text>(members, "friendly-name") {
        Some(text) => text,
        None if given => return None,
        None => name.to_owned(),
    };
    let read = rules::friendly_name(&text);
    if let Err(why) = &read {
        let hint = if given { "" } else { ". Without a friendly-name the service's name is it" };
        members.wrong("friendly-name", Some(quoted(&text)), &format!("it {why}{hint}"));
    }
    read.ok()
}

fn default_template(members: &mut Members<'_>, templates: &[TemplateSetting]) -> Option<String> {
    let name = setting::<Text>(members, "default-template")?;
    let mut known: Vec<&str> = BUILT_IN_TEMPLATES.iter().map(|(name, ..)| *name).collect();
    known.extend(templates.iter().map(|template| template.name.as_str()));
    if known.contains(&name.as_str()) {
        return Some(name);
    }
    let problem = format!("it must be the name of a template: {}", known.join(", "));
    members.wrong("default-template", Some(quoted(&name)), &problem);
    None
}

fn test_numbers(members: &mut Members<'_>) -> Vec<TestNumber> {
    let Some(value) = members.take("test-numbers") else { return Vec::new() };
    let Value::Array(values) = value else {
        members.wrong("test-numbers", None, "it must be a list of objects");
        return Vec::new();
    };
    if values.len() > rules::TEST_NUMBERS_MOST {
        let problem = format!("it has {}, and may have {}", values.len(), rules::TEST_NUMBERS_MOST);
        members.wrong("test-numbers", None, &problem);
    }
    let mut numbers: Vec<TestNumber> = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let name = format!("test-numbers[{index}]");
        let Value::Object(value) = value else {
            members.wrong(&name, None, "it must be an object with pattern, code and expires");
            continue;
        };
        let Some(number) = test_number(&name, value, members) else { continue };
        if numbers.iter().any(|other| other.pattern == number.pattern) {
            members.wrong(&name, None, "there is another with this pattern. Remove one of them");
        }
        numbers.push(number);
    }
    numbers
}

fn test_number(name: &str, value: Map<String, Value>, members: &mut Members<'_>) -> Option<TestNumber> {
    let mut inner = members.inner(name, value, &OF_TEST_NUMBER);
    let m = &mut inner;
    let force = flag(m, "force");
    let pattern = required(m, "pattern", |text| {
        rules::test_pattern(text, force).map(|pattern| pattern.as_str().to_owned())
    });
    let code = required(m, "code", rules::test_code);
    let expires = required(m, "expires", moment);
    Some(TestNumber { pattern: pattern?, code: code?, expires: expires? })
}

/// A member that must be there. What was given is not shown: it may be a code, or somebody's number.
fn required<T>(
    members: &mut Members<'_>,
    name: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    match members.text(name) {
        Ok(Some(text)) => read(&text).map_err(|why| members.wrong(name, None, &format!("it {why}"))).ok(),
        Ok(None) => {
            members.wrong(name, None, "it is missing");
            None
        }
        Err(_) => None,
    }
}

/// A moment, or a day: its beginning.
fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_day_or_moment(text.trim()).ok_or_else(|| {
        "must be a moment such as \"2027-01-31T12:00:00Z\" (RFC 3339, UTC), or a day such as \"2027-01-31\"".to_owned()
    })
}

/// `growing`, or a time.
struct LockoutChoice;

impl Kind for LockoutChoice {
    type Value = Option<std::time::Duration>;

    fn read(text: &str) -> Option<Self::Value> {
        if text.trim().eq_ignore_ascii_case("growing") {
            return Some(None);
        }
        Span::<Lockout>::read(text).map(Some)
    }

    fn shown(lockout: &Self::Value) -> Value {
        lockout.as_ref().map_or_else(|| "growing".into(), Span::<Lockout>::shown)
    }

    fn accepted() -> String {
        format!("\"growing\", or {}", Span::<Lockout>::accepted())
    }

    fn schema() -> schemars::Schema {
        Span::<Lockout>::schema()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResendChoice {
    Keep,
    New,
}

impl Named for ResendChoice {
    const NAMES: &'static [(&'static str, Self)] = &[("keep", Self::Keep), ("new", Self::New)];
}
