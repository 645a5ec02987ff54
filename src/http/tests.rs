//! Generates the lists of `docs/reference/errors.md` from the tables that the server answers with. Behind its colon a line
//! has what the answer means, which is the document's own. The lists of all routes and of the Verify API have only lines
//! with a meaning, and name the codes or statuses of the others; the other lists have every answer.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use hyper::header::HeaderName;
use hyper::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::config::{AnswerSet, Bounds};
use crate::domain::{Channel, Locale, PhoneNumber, Sid, SidKind, Timestamp};
use crate::http::api::error::{Cause, Error};
use crate::http::compatible::{api_check, api_send, tutorial_check, tutorial_send};
use crate::http::response::{BadBody, ErrorFormat, Problem, whole};
use crate::limits::guard::{GuardRefusal, Rule};
use crate::registry::{Item, RegistryError, TextError};
use crate::verification::numbers::{CheckOutcome, LimitedTable, Refusal, Reply, SendLimit, SendOutcome};
use crate::verification::verify::Refused;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/errors.md");
const MAX_ATTEMPTS: u8 = 5;
const LOCKOUT: Duration = Duration::from_secs(30 * 60);
const SHORTLY: Timestamp = Timestamp::from_millis(59_000);

#[test]
fn docs_errors_md_says_what_the_tables_say() {
    let found = std::fs::read_to_string(PATH).expect("docs/reference/errors.md");
    let made = document(&found);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PATH, &made).expect("write docs/reference/errors.md");
    } else {
        assert!(
            found == made,
            "docs/reference/errors.md is stale: run `UPDATE_DOCS=1 cargo test --lib docs_errors_md` and review the changes"
        );
    }
}

/// The document with its lists written again.
fn document(found: &str) -> String {
    let (of_all_routes, of_verify_api) = (of_all_routes(), of_verify_api());
    let mut title = "";
    let mut blocks = Vec::new();
    for block in found.trim_end().split("\n\n") {
        let is_list = block.starts_with("* ");
        if block.starts_with('#') {
            title = block.trim_start_matches(['#', ' ']);
        }
        let meanings: Vec<&str> = block.lines().collect();
        blocks.push(match title {
            "All routes" if is_list => keeping(&explained(&of_all_routes, &meanings), &meanings),
            "All routes" if block.starts_with("Other messages of") => {
                let [_, others] = names(&of_all_routes, found, |row| row[0][..3].to_owned());
                format!("Other messages of {} explain themselves.", Vec::from_iter(others).join(", "))
            }
            "Verify API" if is_list => keeping(&explained(&of_verify_api, &meanings), &meanings),
            "Verify API" if block.starts_with("Messages that explain themselves") => {
                let [explained, others] =
                    names(&of_verify_api, found, |row| format!("{} ({})", row[0], &row[1][..3]));
                let others: Vec<String> = others.difference(&explained).cloned().collect();
                format!("Messages that explain themselves: {}.", others.join(", "))
            }
            "OTP API" if is_list => keeping(&all(&documented(), &meanings), &meanings),
            "As built" if is_list => keeping(&all(&as_built(), &meanings), &meanings),
            "Tutorial API" if is_list => keeping(&all(&of_tutorial_api(), &meanings), &meanings),
            _ => block.to_owned(),
        });
    }
    blocks.join("\n\n") + "\n"
}

/// Errors that every route may have: status and headers, the code below `/v2`, the message.
fn of_all_routes() -> Vec<[String; 3]> {
    let rows = problems().into_iter().map(|problem| {
        let row = Row::of(problem.answer(ErrorFormat::Envelope));
        if can_concern_tutorial(problem) {
            let of_tutorial = Row::of(problem.answer(ErrorFormat::Message));
            assert_eq!(row.members().message, of_tutorial.members().message);
        }
        let of_verify_api = can_concern_verify_api(problem).then(|| {
            let of_verify_api = Row::of(problem.answer(ErrorFormat::Twilio));
            assert_eq!(row.members().message, of_verify_api.members().message);
            let headers = of_verify_api.status_and_headers().replace("X-Onceward-Retry-After", "Retry-After");
            assert_eq!(row.status_and_headers(), headers);
            let [code, ..] = of_verify_api.of_verify_api();
            code
        });
        row.of_all_routes(of_verify_api.unwrap_or_default())
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|one, other| one[0][..3].cmp(&other[0][..3]));
    rows
}

fn of_verify_api() -> Vec<[String; 3]> {
    let mut rows: Vec<_> = verify_api_errors().iter().map(Row::of_verify_api).collect();
    rows.sort_by(|one, other| one[0].cmp(&other[0]));
    rows
}

fn documented() -> Vec<[String; 4]> {
    let rows = outcomes(
        |outcome| api_send(AnswerSet::Documented, outcome, number()),
        |outcome| api_check(AnswerSet::Documented, outcome, number(), LOCKOUT),
    );
    merged(
        rows.iter()
            .filter(|outcome| !outcome.is_shortly_locked)
            .map(|outcome| outcome.row.of_otp_api(outcome.route))
            .filter(|row| row[1] != "200"),
    )
}

/// The answers of the Redis version's code, where they differ from the documented ones.
fn as_built() -> Vec<[String; 5]> {
    let of = |answers| {
        outcomes(
            move |outcome| api_send(answers, outcome, number()),
            move |outcome| api_check(answers, outcome, number(), LOCKOUT),
        )
    };
    let (documented, as_built) = (of(AnswerSet::Documented), of(AnswerSet::AsBuilt));
    let rows = as_built.iter().zip(&documented).filter_map(|(outcome, documented)| {
        let row = outcome.row.as_built(outcome.route);
        let [_, http, message, data] = documented.row.of_otp_api(outcome.route);
        ([&row[1], &row[3], &row[4]] != [&http, &message, &data]).then_some(row)
    });
    merged(rows)
}

/// The answers of the tutorial's routes, where they differ from the documented ones.
fn of_tutorial_api() -> Vec<[String; 3]> {
    let documented = outcomes(
        |outcome| api_send(AnswerSet::Documented, outcome, number()),
        |outcome| api_check(AnswerSet::Documented, outcome, number(), LOCKOUT),
    );
    let of_tutorial = outcomes(tutorial_send, tutorial_check);
    let rows = of_tutorial.iter().zip(&documented).filter_map(|(outcome, documented)| {
        let route = if outcome.route == SEND { "send-code" } else { "verify-code" };
        let row = outcome.row.of_tutorial_api(route);
        let [_, http, message, _] = documented.row.of_otp_api(outcome.route);
        (!outcome.is_shortly_locked && row[1] != "200" && [&row[1], &row[2]] != [&http, &message])
            .then_some(row)
    });
    merged(rows)
}

/// The row as a line, without what it means.
fn line<const N: usize>(row: &[String; N]) -> String {
    let columns: Vec<&str> = row.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    format!("* {}", columns.join(", "))
}

/// The document's lines of these rows.
fn explained<const N: usize>(rows: &[[String; N]], lines: &[&str]) -> Vec<String> {
    let of_row = |row| {
        let start = line(row) + ": ";
        lines.iter().find(|line| line.starts_with(&start)).map(|line| (*line).to_owned())
    };
    let mut explained: Vec<String> = Vec::new();
    for line in rows.iter().filter_map(of_row) {
        if !explained.contains(&line) {
            explained.push(line);
        }
    }
    explained
}

/// Names of the rows that the document explains, and of the others.
fn names<const N: usize>(
    rows: &[[String; N]],
    found: &str,
    name: impl Fn(&[String; N]) -> String,
) -> [BTreeSet<String>; 2] {
    let lines: Vec<&str> = found.lines().collect();
    let is_explained = |row: &&[String; N]| !explained(std::slice::from_ref(*row), &lines).is_empty();
    let (explained, others): (Vec<_>, Vec<_>) = rows.iter().partition(is_explained);
    [explained, others].map(|rows| rows.into_iter().map(&name).collect())
}

/// Lines of all rows, with what the document says of them.
fn all<const N: usize>(rows: &[[String; N]], lines: &[&str]) -> Vec<String> {
    let of_row = |row| explained(std::slice::from_ref(row), lines).pop().unwrap_or_else(|| line(row));
    rows.iter().map(of_row).collect()
}

/// The new list, after asserting that it has every line of the document with a meaning.
fn keeping(list: &[String], lines: &[&str]) -> String {
    for line in lines.iter().filter(|line| line.contains("`: ")) {
        let is_kept = list.iter().any(|made| made == line);
        assert!(
            is_kept,
            "docs/reference/errors.md: no answer begins like this, correct or remove it: {line}"
        );
    }
    list.join("\n")
}

/// Leaves out what was said before, and joins rows that differ only in their route.
fn merged<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> Vec<[String; N]> {
    let mut merged: Vec<[String; N]> = Vec::new();
    for row in rows {
        match merged.iter_mut().find(|earlier| earlier[1..] == row[1..]) {
            Some(earlier) if earlier[0] == row[0] => {}
            Some(earlier) => earlier[0] = "both".to_owned(),
            None => merged.push(row),
        }
    }
    merged
}

struct Row {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The answer to an outcome of a send or a check.
struct Outcome {
    route: &'static str,
    row: Row,
    /// A lockout of less than a minute, which shows nothing new where minutes are rounded up.
    is_shortly_locked: bool,
}

/// The members of an answer. `data` is JSON, as on the wire.
struct Members {
    code: u64,
    message: String,
    data: String,
}

impl Row {
    fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, headers: head.headers, body: whole(body).expect("no stream") }
    }

    fn body(&self) -> &str {
        std::str::from_utf8(&self.body).expect("JSON is UTF-8")
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
        self.status.as_u16()
    }

    /// The status, and the names of the headers. The introduction says which header each 429 and 503 has.
    fn status_and_headers(&self) -> String {
        let mut text = self.status().to_string();
        let names = self.headers.keys().map(HeaderName::as_str).filter(|name| *name != "content-type");
        let (waits, others): (Vec<_>, Vec<_>) = names.partition(|name| name.ends_with("retry-after"));
        let always_waits = [429, 503].contains(&self.status());
        assert!(!always_waits || waits.len() == 1, "the introduction says that it has one");
        for name in others.into_iter().chain(waits.into_iter().filter(|_| !always_waits)) {
            let words = name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
            let _ = write!(text, ", `{}`", words.collect::<Vec<_>>().join("-"));
        }
        text
    }

    fn of_verify_api(&self) -> [String; 3] {
        let Members { code, message, .. } = self.members();
        let (status, words) = (self.status(), serde_json::to_string(&message).expect("a text"));
        let body = format!(
            "{{\"code\":{code},\"message\":{words},\"more_info\":\"https://www.twilio.com/docs/errors/{code}\",\"status\":{status}}}"
        );
        assert_eq!(self.body(), body, "the introduction describes all members");
        [code.to_string(), self.status_and_headers(), literal(&message)]
    }

    fn of_otp_api(&self, route: &str) -> [String; 4] {
        let Members { code, message, data } = self.only_members(true);
        assert_eq!(code, u64::from(self.status()), "the introduction says that they are equal");
        [route.into(), self.status_and_headers(), literal(&message), literal(&data)]
    }

    fn as_built(&self, route: &str) -> [String; 5] {
        let Members { code, message, data } = self.only_members(true);
        let http = self.status_and_headers();
        [route.into(), http, code.to_string(), literal(&message), literal(&data)]
    }

    fn of_tutorial_api(&self, route: &str) -> [String; 3] {
        let Members { message, .. } = self.only_members(false);
        [route.into(), self.status_and_headers(), literal(&message)]
    }

    fn of_all_routes(&self, code: String) -> [String; 3] {
        let Members { code: envelope, message, data } = self.only_members(true);
        assert_eq!((envelope, data), (u64::from(self.status()), String::new()));
        [self.status_and_headers(), code, literal(&message)]
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

const SEND: &str = "send-otp";
const CHECK: &str = "verify-otp";

/// A row for each outcome of a send and of a check.
fn outcomes(
    send: impl Fn(&Reply<SendOutcome>) -> Response,
    check: impl Fn(&Reply<CheckOutcome>) -> Response,
) -> Vec<Outcome> {
    let sends = sends().into_iter().map(|outcome| Outcome {
        route: SEND,
        is_shortly_locked: outcome == SendOutcome::Locked { until: SHORTLY },
        row: Row::of(send(&reply(outcome))),
    });
    let checks = checks().into_iter().map(|outcome| Outcome {
        route: CHECK,
        is_shortly_locked: outcome == CheckOutcome::Locked { until: SHORTLY },
        row: Row::of(check(&reply(outcome))),
    });
    sends.chain(checks).collect()
}

/// The refusals of verifications and of other resources.
fn verify_api_errors() -> Vec<Row> {
    let path = "/v2/Services/VA0123456789abcdef0123456789abcdef/VerificationCheck";
    let answered = |error: Error| error.answer(path, "", Timestamp::EPOCH);
    let refused = refusals().into_iter().map(|refused| Row::of(answered(Error::from(refused))));
    let too_many = |item, limit| of_registry(RegistryError::TooMany { item, limit });
    let exists = |item| of_registry(RegistryError::Exists(item));
    let read_only = "the operator changes this service in config.json".to_owned();
    let format = "must have 1 to 64 letters, digits, `-`, `_` or `.`".to_owned();
    let others: [Error; 17] = [
        Error::missing("To"),
        too_many(Item::Webhook, 10),
        Error::forbidden("the key lacks the scope admin"),
        Error::not_served("AccessTokens"),
        of_registry(RegistryError::ReadOnly(read_only)),
        Error::caused(Cause::NoEmail, "`Channel`: email is not served here"),
        Error::caused(Cause::NoTarget, "give `To` or `VerificationSid`"),
        Error::not_served_parameter("CustomMessage").expect("one of Twilio's"),
        Error::caused(Cause::AppHash, "leave out `AppHash`, or use `Channel=sms`"),
        of_registry(RegistryError::Invalid { field: "unique_name", why: format }),
        exists(Item::RateLimit),
        exists(Item::Bucket),
        exists(Item::MessagingConfiguration),
        exists(Item::SafeNumber),
        too_many(Item::RateLimit, 25),
        too_many(Item::Bucket, 10),
        Error::media_type(),
    ];
    let others = others.into_iter().map(|error| Row::of(answered(error)));
    let rows: Vec<Row> = refused.chain(others).collect();
    let problems = problems().into_iter().filter(|problem| can_concern_verify_api(*problem));
    let common: Vec<Row> = problems.map(|problem| Row::of(problem.answer(ErrorFormat::Twilio))).collect();
    for (code, status, _) in Cause::ALL.iter().map(|cause| cause.row()) {
        let is_shown = |row: &Row| (row.members().code, row.status()) == (code.into(), status.as_u16());
        assert!(rows.iter().chain(&common).any(is_shown), "{code} is not in the tables");
    }
    rows
}

fn of_registry(error: RegistryError) -> Error {
    error.into()
}

fn reply<O>(outcome: O) -> Reply<O> {
    Reply::new(outcome, Timestamp::EPOCH, None)
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
        SendOutcome::Locked { until: SHORTLY },
        SendOutcome::Limited(SendLimit::NoSendsLeft { until: Timestamp::EPOCH }),
        guarded(Rule::Prefix, Some(600_000)),
        guarded(Rule::CountryList, None),
        guarded(Rule::Landline, None),
        guarded(Rule::Budget, Some(29_500)),
        SendOutcome::NumberRefused,
        SendOutcome::GatewayFailed,
    ]
}

fn guarded(rule: Rule, until: Option<u64>) -> SendOutcome {
    SendOutcome::GuardRefused(GuardRefusal { rule, until: until.map(Timestamp::from_millis) })
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
        CheckOutcome::Locked { until: SHORTLY },
        CheckOutcome::NoChecksLeft { until: Timestamp::EPOCH },
        CheckOutcome::GatewayFailed,
    ]
}

/// All but those that are refusals of every route.
fn refusals() -> [Refused; 25] {
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
        Refused::TooSoon { until },
        Refused::BudgetSpent { until },
        Refused::Landline,
        Refused::OptedOut,
        Refused::Concurrent,
        Refused::Blocked,
        Refused::ByGuard { is_for_an_allowance: false },
        Refused::Country,
        Refused::OtherRequest,
        Refused::StillAnswering,
        Refused::Ended,
        Refused::Replaced,
        Refused::GatewayFailed,
        Refused::OutOfService { until },
    ]
}

fn problems() -> [Problem; 28] {
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
        Problem::BadPath,
        Problem::PlainHttp,
        Problem::HeadTooSlow,
        Problem::TooManyConnections,
    ]
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
        | Problem::BadPath
        | Problem::PlainHttp
        | Problem::HeadTooSlow
        | Problem::TooManyConnections => false,
    }
}

/// Whether the problem can occur below `/v2`, where a key without the right has its own error.
fn can_concern_verify_api(problem: Problem) -> bool {
    matches!(problem, Problem::NotFound | Problem::BadPath)
        || problem != Problem::Forbidden && can_concern_tutorial(problem)
}
