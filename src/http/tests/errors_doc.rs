//! Generates `docs/reference/errors.md` from the tables that the server answers with. The file is also the snapshot of
//! those tables: a changed answer shows as a difference.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::config::{AnswerSet, Bounds};
use crate::domain::{Channel, Locale, PhoneNumber, Sid, SidKind, Timestamp};
use crate::guard::{GuardRefusal, Rule};
use crate::http::compatible::{api_check, api_send, tutorial_check, tutorial_send};
use crate::http::response::{BadBody, Problem};
use crate::http::response::{ErrorFormat, Response};
use crate::http::v2::{self, Cause};
use crate::numbers::{CheckOutcome, LimitedTable, Refusal, Reply, SendLimit, SendOutcome};
use crate::registry::{Item, RegistryError, TextError};
use crate::verify::Refused;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/errors.md");
const MAX_ATTEMPTS: u8 = 5;
const LOCKOUT: Duration = Duration::from_secs(30 * 60);

#[test]
fn docs_errors_md_says_what_the_tables_say() {
    let made = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PATH, &made).expect("write docs/reference/errors.md");
    }
    let found = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        found == made,
        "docs/reference/errors.md is stale: run `UPDATE_DOCS=1 cargo test --lib docs_errors_md` and review the changes"
    );
}

fn document() -> String {
    let mut doc = String::from(INTRODUCTION);
    let rows = problems().into_iter().map(|problem| {
        let row = Row::of(problem_case(problem), problem.answer(ErrorFormat::Envelope));
        if can_concern_tutorial(problem) {
            let of_tutorial = Row::of(row.case, problem.answer(ErrorFormat::Message));
            assert_eq!(row.members().message, of_tutorial.members().message);
        }
        let of_verify_api = can_concern_verify_api(problem).then(|| {
            let of_verify_api = Row::of(row.case, problem.answer(ErrorFormat::Twilio));
            assert_eq!(row.members().message, of_verify_api.members().message);
            let headers = of_verify_api.status_and_headers().replace("X-Onceward-Retry-After", "Retry-After");
            assert_eq!(row.status_and_headers(), headers);
            let [code, ..] = of_verify_api.of_verify_api();
            code
        });
        (row, of_verify_api.unwrap_or_default())
    });
    let mut rows: Vec<(Row, String)> = rows.collect();
    rows.sort_by_key(|(row, _)| row.status());
    let (explained, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(row, _)| !row.case.is_empty());
    list(&mut doc, explained.into_iter().map(|(row, code)| row.of_all_routes(code)));
    let others: BTreeSet<String> = others.iter().map(|(row, _)| row.status().to_string()).collect();
    let others: Vec<String> = others.into_iter().collect();
    let _ = writeln!(doc, "\nFurther messages of {} say all.", others.join(", "));

    doc.push_str(VERIFY_API);
    let mut errors = verify_api_errors();
    errors.sort_by_key(|row| row.members().code);
    let (explained, others): (Vec<_>, Vec<_>) = errors.into_iter().partition(|row| !row.case.is_empty());
    list(&mut doc, explained.iter().map(Row::of_verify_api));
    let places = |rows: &[Row]| -> BTreeSet<String> {
        rows.iter().map(|row| format!("{} ({})", row.members().code, row.status())).collect()
    };
    let others: Vec<String> = places(&others).difference(&places(&explained)).cloned().collect();
    let _ = writeln!(doc, "\nThe message of these says all: {}.", others.join(", "));

    doc.push_str(OTP_API);
    let rows = outcomes(
        |outcome| api_send(AnswerSet::Documented, outcome, number()),
        |outcome| api_check(AnswerSet::Documented, outcome, number(), LOCKOUT),
    );
    let documented: Vec<[String; 5]> = rows.iter().map(|(route, row)| row.of_otp_api(route)).collect();
    let is_error = |row: &[String; 5]| row[1] != "200";
    list(&mut doc, merged(&without_short_lockouts(&documented)).into_iter().filter(is_error));

    doc.push_str(AS_BUILT);
    let rows = outcomes(
        |outcome| api_send(AnswerSet::AsBuilt, outcome, number()),
        |outcome| api_check(AnswerSet::AsBuilt, outcome, number(), LOCKOUT),
    );
    let as_built = rows.iter().map(|(route, row)| row.as_built(route)).zip(&documented);
    let other = as_built.filter(|([_, http, _, message, data, _], [_, as_documented @ ..])| {
        [http, message, data] != [&as_documented[0], &as_documented[1], &as_documented[2]]
    });
    let other: Vec<[String; 6]> = other.map(|(row, _)| row).collect();
    list(&mut doc, only_where_needed(merged(&other), 3).into_iter());

    doc.push_str(TUTORIAL_API);
    let rows = outcomes(tutorial_send, tutorial_check);
    let routes = |route: &str| if route == SEND { "send-code" } else { "verify-code" };
    let of_tutorial = rows.iter().map(|(route, row)| row.of_tutorial_api(routes(route))).zip(&documented);
    let other = of_tutorial.filter(|([_, http, message, _], [_, as_documented @ ..])| {
        [http, message] != [&as_documented[0], &as_documented[1]]
    });
    let other: Vec<[String; 4]> = other.map(|(row, _)| row).collect();
    let is_error = |row: &[String; 4]| row[1] != "200";
    list(
        &mut doc,
        only_where_needed(merged(&without_short_lockouts(&other)), 2).into_iter().filter(is_error),
    );
    doc
}

/// Keeps a meaning, which the list of the OTP API has, only where two rows of a route have the same message in `column`.
fn only_where_needed<const N: usize>(mut rows: Vec<[String; N]>, column: usize) -> Vec<[String; N]> {
    let messages: Vec<[String; 2]> = rows.iter().map(|row| [row[0].clone(), row[column].clone()]).collect();
    for row in &mut rows {
        let is_like = |message: &&[String; 2]| **message == [row[0].as_str(), row[column].as_str()];
        if messages.iter().filter(is_like).count() == 1 {
            row[N - 1].clear();
        }
    }
    rows
}

/// Leaves out a lockout of less than a minute, which shows nothing new where minutes are rounded up.
fn without_short_lockouts<const N: usize>(rows: &[[String; N]]) -> Vec<[String; N]> {
    rows.iter().filter(|row| row[N - 1] != SHORTLY_LOCKED_CASE).cloned().collect()
}

/// Joins rows that differ only in their meaning, then rows that differ only in their route.
fn merged<const N: usize>(rows: &[[String; N]]) -> Vec<[String; N]> {
    let mut merged: Vec<[String; N]> = Vec::new();
    for row in rows {
        match merged.iter_mut().find(|earlier| earlier[..N - 1] == row[..N - 1]) {
            Some(earlier) if earlier[N - 1].contains(&row[N - 1]) => {}
            Some(earlier) => earlier[N - 1] = format!("{} Or: {}", earlier[N - 1], row[N - 1]),
            None => merged.push(row.clone()),
        }
    }
    let mut of_routes: Vec<[String; N]> = Vec::new();
    for row in merged {
        match of_routes.iter_mut().find(|earlier| earlier[1..] == row[1..]) {
            Some(earlier) => earlier[0] = "both".to_owned(),
            None => of_routes.push(row),
        }
    }
    of_routes
}

const INTRODUCTION: &str = "\
# Errors

<!-- generated from the server's tables: UPDATE_DOCS=1 cargo test --lib docs_errors_md -->

Each 429 and 503 says after how many seconds you may repeat the request: in `X-Onceward-Retry-After` below `/v2`, because
Twilio's Java library would repeat the POST by itself, else in `Retry-After`. Other answers with the header name it here.

## All routes

HTTP status, the error code where `/v2` has one, and `message`. None of these answers means that a code was right. After 500, and
after 503 with `could not be stored safely`, a message may have been sent and a check may count. A head that is too large is 431, a
request that is not HTTP 400, both without a body.

";

const VERIFY_API: &str = "
## Verify API

Errors below `/v2` are `{\"code\", \"message\", \"more_info\", \"status\"}`. The codes are Twilio's, or 20000 plus the HTTP status. A wrong
code is not an error: [checks](verify-api.md#verification-checks).

";

const OTP_API: &str = "
## OTP API

Errors of [`/api/send-otp` and `/api/verify-otp`](otp-api.md) are `{\"code\", \"message\", \"data\"}`; `code` is the HTTP status. In
the examples five wrong codes are allowed, and a lockout takes 30 minutes. `ttl` and `lockout_duration` are minutes, rounded up.

";

const AS_BUILT: &str = "
### As built

With `redis-version-answers: as-built` these answers differ, as in the code of the Redis version: HTTP status, `code`, `message`,
`data`. A new lockout rounds `ttl` up to minutes, later answers round it down.

";

const TUTORIAL_API: &str = "
## Tutorial API

Errors of `/send-code` and `/verify-code` are `{\"message\"}`. Their meanings, and the other errors, are those of the OTP
API.

";

/// The meaning of a case, and the client's next step where the answer does not say it.
type Case = &'static str;

struct Row {
    case: Case,
    answer: Response,
}

/// The members of an answer. `data` is JSON, as on the wire.
struct Members {
    code: u64,
    message: String,
    data: String,
}

impl Row {
    const fn of(case: Case, answer: Response) -> Self {
        Self { case, answer }
    }

    fn body(&self) -> &str {
        std::str::from_utf8(&self.answer.body).expect("JSON is UTF-8")
    }

    fn members(&self) -> Members {
        let value: Value = serde_json::from_str(self.body()).expect("JSON");
        let message = value["message"].as_str().expect("a message").to_owned();
        let data = self.body().split_once(",\"data\":").and_then(|(_, data)| data.strip_suffix('}'));
        Members {
            code: value["code"].as_u64().unwrap_or_default(),
            message,
            data: data.unwrap_or_default().to_owned(),
        }
    }

    /// The members of an answer, after asserting that it has no others.
    fn only_members(&self, is_envelope: bool) -> Members {
        let members = self.members();
        let Members { code, message, data } = &members;
        let message = serde_json::to_string(message).expect("a text");
        let data = if data.is_empty() { String::new() } else { format!(",\"data\":{data}") };
        let body = if is_envelope {
            format!("{{\"code\":{code},\"message\":{message}{data}}}")
        } else {
            format!("{{\"message\":{message}}}")
        };
        assert_eq!(self.body(), body, "the list shows all members");
        members
    }

    fn status(&self) -> u16 {
        self.answer.status.as_u16()
    }

    /// The status, and the names of the headers. The introduction says which header each 429 and 503 has.
    fn status_and_headers(&self) -> String {
        let mut text = self.status().to_string();
        let names = self.answer.headers.iter().map(|(name, _)| name.as_str());
        let (waits, others): (Vec<_>, Vec<_>) = names.partition(|name| name.ends_with("retry-after"));
        let always_waits = [429, 503].contains(&self.status());
        assert!(!always_waits || waits.len() == 1, "the introduction says that it has one");
        for name in others.into_iter().chain(waits.into_iter().filter(|_| !always_waits)) {
            let words = name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
            let _ = write!(text, ", `{}`", words.collect::<Vec<_>>().join("-"));
        }
        text
    }

    fn of_verify_api(&self) -> [String; 4] {
        let Members { code, message, .. } = self.members();
        let (status, words) = (self.status(), serde_json::to_string(&message).expect("a text"));
        let body = format!(
            "{{\"code\":{code},\"message\":{words},\"more_info\":\"https://www.twilio.com/docs/errors/{code}\",\"status\":{status}}}"
        );
        assert_eq!(self.body(), body, "the introduction describes all members");
        [code.to_string(), self.status_and_headers(), literal(&message), self.case.into()]
    }

    fn of_otp_api(&self, route: &str) -> [String; 5] {
        let Members { code, message, data } = self.only_members(true);
        assert_eq!(code, u64::from(self.status()), "the introduction says that they are equal");
        [route.into(), self.status_and_headers(), literal(&message), literal(&data), self.case.into()]
    }

    fn as_built(&self, route: &str) -> [String; 6] {
        let Members { code, message, data } = self.only_members(true);
        let http = self.status_and_headers();
        [route.into(), http, code.to_string(), literal(&message), literal(&data), self.case.into()]
    }

    fn of_tutorial_api(&self, route: &str) -> [String; 4] {
        let Members { message, .. } = self.only_members(false);
        [route.into(), self.status_and_headers(), literal(&message), self.case.into()]
    }

    fn of_all_routes(&self, code: String) -> [String; 4] {
        let Members { code: envelope, message, data } = self.only_members(true);
        assert_eq!((envelope, data), (u64::from(self.status()), String::new()));
        [self.status_and_headers(), code, literal(&message), self.case.into()]
    }
}

/// A text as code.
fn literal(text: &str) -> String {
    match text {
        "" => String::new(),
        text if text.contains('`') => format!("`` {text} ``"),
        text => format!("`{text}`"),
    }
}

/// A line for each row: its columns, and behind a colon the last one, the meaning.
fn list<const N: usize>(doc: &mut String, rows: impl Iterator<Item = [String; N]>) {
    for row in rows {
        let (meaning, columns) = row.split_last().expect("columns");
        let columns: Vec<&str> = columns.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        let separator = if meaning.is_empty() { "" } else { ": " };
        let _ = writeln!(doc, "* {}{separator}{meaning}", columns.join(", "));
    }
}

const SEND: &str = "send-otp";
const CHECK: &str = "verify-otp";

/// A row for each outcome of a send and of a check.
fn outcomes(
    send: impl Fn(&Reply<SendOutcome>) -> Response,
    check: impl Fn(&Reply<CheckOutcome>) -> Response,
) -> Vec<(&'static str, Row)> {
    let sends = sends();
    let sends = sends.iter().map(|outcome| (SEND, Row::of(send_case(outcome), send(&reply(outcome)))));
    let checks = checks();
    let checks = checks.iter().map(|outcome| (CHECK, Row::of(check_case(outcome), check(&reply(outcome)))));
    sends.chain(checks).collect()
}

/// The refusals of verifications and of other resources.
fn verify_api_errors() -> Vec<Row> {
    let path = "/v2/Services/VA0123456789abcdef0123456789abcdef/VerificationCheck";
    let answered = |error: v2::Error| error.answer(path, "", Timestamp::EPOCH);
    let refused = refusals()
        .into_iter()
        .map(|refused| Row::of(refusal_case(&refused), answered(v2::Error::from(refused))));
    let too_many = |item, limit| of_registry(RegistryError::TooMany { item, limit });
    let exists = |item| of_registry(RegistryError::Exists(item));
    let read_only = "the operator changes this service in config.json".to_owned();
    let format = "must have 1 to 64 letters, digits, `-`, `_` or `.`".to_owned();
    let others: [(v2::Error, Case); 17] = [
        (v2::Error::missing("To"), ""),
        (too_many(Item::Webhook, 10), "Delete one first."),
        (v2::Error::forbidden("the key lacks the scope admin"), "The key may not do this. Use another."),
        (v2::Error::not_served("AccessTokens"), ""),
        (of_registry(RegistryError::ReadOnly(read_only)), ""),
        (v2::Error::caused(Cause::NoEmail, "`Channel`: email is not served here"), "Use another channel."),
        (v2::Error::caused(Cause::NoTarget, "give `To` or `VerificationSid`"), ""),
        (
            v2::Error::not_served_parameter("CustomMessage"),
            "Write a [template](../guides/message-templates.md).",
        ),
        (v2::Error::caused(Cause::AppHash, "leave out `AppHash`, or use `Channel=sms`"), ""),
        (of_registry(RegistryError::Invalid { field: "unique_name", why: format }), ""),
        (exists(Item::RateLimit), ""),
        (exists(Item::Bucket), ""),
        (exists(Item::MessagingConfiguration), ""),
        (exists(Item::SafeNumber), ""),
        (too_many(Item::RateLimit, 25), ""),
        (too_many(Item::Bucket, 10), ""),
        (v2::Error::media_type(), ""),
    ];
    let others = others.into_iter().map(|(error, case)| Row::of(case, answered(error)));
    let rows: Vec<Row> = refused.chain(others).collect();
    let problems = problems().into_iter().filter(|problem| can_concern_verify_api(*problem));
    let common: Vec<Row> = problems.map(|problem| Row::of("", problem.answer(ErrorFormat::Twilio))).collect();
    for (code, status, _) in Cause::ALL.iter().map(|cause| cause.row()) {
        let is_shown = |row: &Row| (row.members().code, row.status()) == (code.into(), status.as_u16());
        assert!(rows.iter().chain(&common).any(is_shown), "{code} is not in the tables");
    }
    rows
}

fn of_registry(error: RegistryError) -> v2::Error {
    error.into()
}

fn reply<O: Clone>(outcome: &O) -> Reply<O> {
    Reply::new(outcome.clone(), Timestamp::EPOCH, None)
}

fn number() -> PhoneNumber {
    PhoneNumber::parse("+14155552671", None).expect("a number")
}

fn sends() -> [SendOutcome; 10] {
    [
        SendOutcome::Sent {
            attempts_left: 5,
            message_id: "SM5ef8732a3c49700934481addd5ce1659".to_owned(),
            postponed: false,
        },
        SendOutcome::Locked { until: Timestamp::EPOCH.plus(Duration::from_secs(29 * 60 + 10)) },
        SendOutcome::Locked { until: Timestamp::EPOCH.plus(Duration::from_secs(59)) },
        SendOutcome::Limited(SendLimit::NoSendsLeft { until: Timestamp::EPOCH }),
        guarded(Rule::Prefix, Some(600_000)),
        guarded(Rule::CountryList, None),
        guarded(Rule::Landline, None),
        guarded(Rule::Budget, Some(29_500)),
        SendOutcome::NumberRefused,
        SendOutcome::GatewayFailed,
    ]
}

const LIMITED_CASE: Case =
    "A verification that `/v2` began for this number has no message or no check left. Wait until it ends.";
const GUARD_CASE: Case =
    "The [guard](../concepts/guard.md): do not retry. `onceward guard explain` says why.";

fn guarded(rule: Rule, until: Option<u64>) -> SendOutcome {
    SendOutcome::GuardRefused(GuardRefusal { rule, until: until.map(Timestamp::from_millis) })
}

fn send_case(outcome: &SendOutcome) -> Case {
    match outcome {
        SendOutcome::Sent { .. } => "A gateway accepted the message.",
        SendOutcome::Locked { until } => locked_case(*until),
        SendOutcome::Limited(_) => LIMITED_CASE,
        SendOutcome::GuardRefused(refusal) => match refusal.rule {
            Rule::CountryList => "The server does not send to this country.",
            Rule::Budget => "",
            Rule::Landline => "A landline: ask for a mobile number.",
            _ => GUARD_CASE,
        },
        SendOutcome::NumberRefused => "The number cannot take messages.",
        SendOutcome::GatewayFailed => "It may still arrive. A further send has a new code.",
    }
}

fn checks() -> [CheckOutcome; 10] {
    [
        CheckOutcome::Approved,
        CheckOutcome::Wrong { attempts_left: 4, live: true },
        CheckOutcome::Wrong { attempts_left: 4, live: false },
        CheckOutcome::Wrong { attempts_left: MAX_ATTEMPTS, live: false },
        CheckOutcome::LockedNow { until: Timestamp::EPOCH.plus(LOCKOUT), live: true },
        CheckOutcome::LockedNow { until: Timestamp::EPOCH.plus(LOCKOUT), live: false },
        CheckOutcome::Locked { until: Timestamp::EPOCH.plus(Duration::from_secs(29 * 60 + 10)) },
        CheckOutcome::Locked { until: Timestamp::EPOCH.plus(Duration::from_secs(59)) },
        CheckOutcome::NoChecksLeft { until: Timestamp::EPOCH },
        CheckOutcome::GatewayFailed,
    ]
}

fn check_case(outcome: &CheckOutcome) -> Case {
    match outcome {
        CheckOutcome::Approved => "The code is right. It works once.",
        CheckOutcome::Wrong { live: true, .. } => "The code is wrong.",
        CheckOutcome::Wrong { live: false, attempts_left: MAX_ATTEMPTS } => {
            "No code is live: used, or never sent. Nothing is counted. Send a new code."
        }
        CheckOutcome::Wrong { live: false, .. } => "The code has expired. The check counts.",
        CheckOutcome::LockedNow { live: true, .. } => "The code is wrong and used the last attempt.",
        CheckOutcome::LockedNow { live: false, .. } => {
            "The last attempt was used after the code had expired."
        }
        CheckOutcome::Locked { until } => locked_case(*until),
        CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => LIMITED_CASE,
        CheckOutcome::GatewayFailed => "The provider that holds the code did not answer. The check counts.",
    }
}

const SHORTLY_LOCKED_CASE: Case = "The number is locked out, for less than a minute.";

fn locked_case(until: Timestamp) -> Case {
    if until.since(Timestamp::EPOCH) < Duration::from_secs(60) {
        SHORTLY_LOCKED_CASE
    } else {
        "The number is locked out."
    }
}

/// All but those that are refusals of every route.
fn refusals() -> [Refused; 23] {
    let until = Timestamp::from_millis(29_500);
    let template = Sid::new(SidKind::Template, [0xab; 16]);
    [
        Refused::NotFound,
        Refused::Invalid("RateLimits: this service has no rate limit \"session\"".to_owned()),
        Refused::Text(TextError::UnknownTemplate(template)),
        Refused::Text(TextError::OtherChannel { template, channel: Channel::Call }),
        Refused::Text(TextError::MissingSubstitution("door".to_owned())),
        Refused::Text(TextError::OtherLanguage(Locale::parse("eo").expect("a language"))),
        Refused::FeatureOff("`CustomCode` needs a service with CustomCodeEnabled=true"),
        Refused::ChannelOff,
        Refused::NoChecksLeft { until },
        Refused::NoSendsLeft { until },
        Refused::TooMany { until },
        Refused::BudgetSpent { until },
        Refused::Landline,
        Refused::Concurrent,
        Refused::Blocked,
        Refused::ByGuard { asks_proof: false },
        Refused::Country,
        Refused::OtherRequest,
        Refused::StillAnswering,
        Refused::Ended,
        Refused::Replaced,
        Refused::GatewayFailed,
        Refused::OutOfService { until },
    ]
}

const fn refusal_case(refused: &Refused) -> Case {
    match refused {
        Refused::NotFound => {
            "The verification has ended or never existed: begin a new one. Or another resource does not exist."
        }
        Refused::Invalid(_) => "A parameter is wrong, or the provider refuses the number.",
        Refused::Text(TextError::UnknownTemplate(_)) => "Choose one of `GET /v2/Templates`.",
        Refused::Text(TextError::BadValue { .. } | TextError::TooManyValues | TextError::Text(_)) => {
            "A value cannot stand in the message."
        }
        Refused::FeatureOff(_) => {
            "The service does not allow `CustomCode`, or the gateway creates codes of its own."
        }
        Refused::ChannelOff => "Use another channel.",
        Refused::NoChecksLeft { .. } => {
            "Canceling the verification allows a new one. A lockout or hard stop needs `DELETE` of the lockout."
        }
        Refused::NoSendsLeft { .. } => "Canceling the verification allows a new one.",
        Refused::TooMany { .. } => {
            "A rate limit, `CoolingDown`, a message with another code on its way, or too many long answers or webhook \
             deliveries."
        }
        Refused::BudgetSpent { .. } => "Raise the budget if these are your users.",
        Refused::Landline => "Use `Channel=call`.",
        Refused::Concurrent => {
            "More than 64 requests for this number are in progress, or its verification had five messages in its first second."
        }
        Refused::Blocked => "Do not retry.",
        Refused::ByGuard { .. } => GUARD_CASE,
        Refused::Country => "The server or the provider does not send to this country. Allow it there.",
        Refused::GatewayFailed => {
            "The message may still arrive. A repeated send has the same code, unless the service has `Resend=new`."
        }
        Refused::OutOfService { .. } | Refused::Replaced => "Nothing was sent.",
        Refused::Ended => "Only the first request may have sent a message.",
        Refused::Unavailable(_) => "The server is overloaded or stopping.",
        // The message says all.
        Refused::Text(
            TextError::MissingSubstitution(_) | TextError::OtherChannel { .. } | TextError::OtherLanguage(_),
        )
        | Refused::OtherRequest
        | Refused::StillAnswering => "",
    }
}

fn problems() -> [Problem; 27] {
    [
        Problem::BadBody(BadBody::NotUtf8),
        Problem::Unauthenticated,
        Problem::Forbidden,
        Problem::NotFound,
        Problem::MethodNotAllowed("POST"),
        Problem::CrossSite,
        Problem::ForeignHost,
        Problem::ForeignHostWithoutKey,
        Problem::BadSignature,
        Problem::CallbackUnavailable,
        Problem::BodyTooSlow,
        Problem::BodyTooLarge(Bounds::default().body_bytes),
        Problem::Refused(Refusal::NumberBusy),
        Problem::Refused(Refusal::Overloaded),
        Problem::Refused(Refusal::SendsOverloaded),
        Problem::Refused(Refusal::TableFull { table: LimitedTable::Numbers }),
        Problem::Refused(Refusal::TableFull { table: LimitedTable::IdempotencyKeys }),
        Problem::Refused(Refusal::StoreUnavailable),
        Problem::Refused(Refusal::Starting),
        Problem::Refused(Refusal::Stopping),
        Problem::NoNode,
        Problem::Panicked,
        Problem::BadHead,
        Problem::BadHost,
        Problem::PlainHttp,
        Problem::HeadTooSlow,
        Problem::TooManyConnections,
    ]
}

fn problem_case(problem: Problem) -> Case {
    match problem {
        Problem::BadBody(_) => "Nothing is counted.",
        Problem::Unauthenticated => "See [keys](../operate/keys.md).",
        Problem::Forbidden => "It lacks the scope `verify`, or is for another service.",
        Problem::CrossSite => "A browser sent the request. Call the API from your server.",
        Problem::BadSignature => "Set `public-url` to the URL that Twilio calls.",
        Problem::NoNode => "Nothing was begun.",
        Problem::BodyTooSlow | Problem::HeadTooSlow => "After 10 s.",
        Problem::Refused(Refusal::NumberBusy) => {
            "More than 64 requests for this number. To begin or check a verification: 60212."
        }
        Problem::Refused(Refusal::TableFull {
            table: LimitedTable::Numbers | LimitedTable::TestNumbers,
            ..
        }) => "`max-numbers` is reached, and the number is new.",
        Problem::Refused(Refusal::TableFull {
            table: LimitedTable::IdempotencyKeys | LimitedTable::Counters | LimitedTable::HostedSessions,
            ..
        }) => "The same for values of rate limits and hosted sessions.",
        Problem::Panicked => {
            "A bug: report it with the log. On `/api` also: no gateway accepted the message or checked the code."
        }
        Problem::BadHead => "The head is incomplete, or is HTTP/2 without TLS.",
        Problem::TooManyConnections => "Reuse connections. The header is `X-Onceward-Retry-After`.",
        // The message says all.
        Problem::NotFound
        | Problem::MethodNotAllowed(_)
        | Problem::BadHost
        | Problem::PlainHttp
        | Problem::ForeignHost
        | Problem::ForeignHostWithoutKey
        | Problem::BodyTooLarge(_)
        | Problem::CallbackUnavailable
        | Problem::Refused(
            Refusal::Overloaded
            | Refusal::SendsOverloaded
            | Refusal::Starting
            | Refusal::Stopping
            | Refusal::StoreUnavailable,
        ) => "",
    }
}

/// Whether the problem can occur on a path of the tutorial.
const fn can_concern_tutorial(problem: Problem) -> bool {
    match problem {
        Problem::BadBody(_)
        | Problem::Unauthenticated
        | Problem::Forbidden
        | Problem::MethodNotAllowed(_)
        | Problem::CrossSite
        | Problem::ForeignHostWithoutKey
        | Problem::BodyTooSlow
        | Problem::BodyTooLarge(_)
        | Problem::BadHost
        | Problem::Refused(_)
        | Problem::NoNode
        | Problem::Panicked => true,
        Problem::NotFound
        | Problem::ForeignHost
        | Problem::BadSignature
        | Problem::CallbackUnavailable
        | Problem::BadHead
        | Problem::PlainHttp
        | Problem::HeadTooSlow
        | Problem::TooManyConnections => false,
    }
}

/// Whether the problem can occur below `/v2`, where a key without the right has its own error.
fn can_concern_verify_api(problem: Problem) -> bool {
    problem == Problem::NotFound || problem != Problem::Forbidden && can_concern_tutorial(problem)
}
