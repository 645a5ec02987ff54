//! Generates `docs/reference/errors.md` from the tables that the server answers with. The file is also the snapshot of
//! those tables: a changed answer shows as a difference.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::config::{AnswerSet, Bounds};
use crate::domain::{Channel, Locale, PhoneNumber, Sid, SidKind, Timestamp};
use crate::guard::GuardRefusal;
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
    doc.push_str(VERIFY_API);
    let mut errors = verify_api_errors();
    errors.sort_by_key(|row| row.members().code);
    let headings = ["code", "HTTP", "message", "meaning", "what to do"];
    table(&mut doc, headings, errors.iter().map(Row::of_verify_api));

    doc.push_str(OTP_API);
    let headings = ["route", "HTTP", "`message`", "`data`", "meaning", "what to do"];
    let rows = outcomes(
        |outcome| api_send(AnswerSet::Documented, outcome, number()),
        |outcome| api_check(AnswerSet::Documented, outcome, number(), LOCKOUT),
    );
    table(&mut doc, headings, rows.iter().map(|(route, row)| row.of_otp_api(route)));

    doc.push_str(AS_BUILT);
    let headings = ["route", "HTTP", "`code`", "`message`", "`data`", "meaning"];
    let rows = outcomes(
        |outcome| api_send(AnswerSet::AsBuilt, outcome, number()),
        |outcome| api_check(AnswerSet::AsBuilt, outcome, number(), LOCKOUT),
    );
    table(&mut doc, headings, rows.iter().map(|(route, row)| row.as_built(route)));

    doc.push_str(TUTORIAL_API);
    let headings = ["route", "HTTP", "`message`", "meaning", "what to do"];
    let rows = outcomes(tutorial_send, tutorial_check);
    let routes = |route: &str| if route == SEND { "send-code" } else { "verify-code" };
    table(&mut doc, headings, rows.iter().map(|(route, row)| row.of_tutorial_api(routes(route))));

    doc.push_str(ALL_ROUTES);
    let rows = problems().into_iter().map(|problem| {
        let row = Row::of(problem_case(problem), problem.answer(ErrorFormat::Envelope));
        if can_concern_tutorial(problem) {
            let of_tutorial = Row::of(row.case, problem.answer(ErrorFormat::Message));
            assert_eq!(row.members().message, of_tutorial.members().message);
        }
        row
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.sort_by_key(Row::status);
    let headings = ["HTTP", "`message`", "meaning", "what to do"];
    table(&mut doc, headings, rows.iter().map(Row::of_all_routes));
    doc
}

const INTRODUCTION: &str = "\
# Errors

This page lists each answer by its cause. A test generates it from the tables that the server answers with
(`UPDATE_DOCS=1 cargo test --lib docs_errors_md`). Do not edit it.
";

const VERIFY_API: &str = "
## Verify API

Errors below `/v2` are `{\"code\", \"message\", \"more_info\", \"status\"}`. The codes are Twilio's. Where Twilio has none, the code is
20000 plus the HTTP status. A wrong code is not an error: the answer is 200 with the status `pending`. Requests are described in
[verify-api.md](verify-api.md). Twilio documents no status for 60227, 60228, 60243 and 60411; this server answers 400. It has no
cause for 60201, 60206, 60214 and the codes of email, push, TOTP, passkeys and silent network authentication.

";

const OTP_API: &str = "
## OTP API

Answers of `/api/send-otp` and `/api/verify-otp` are `{\"code\", \"message\", \"data\"}`; `code` is the HTTP status. Requests are described
in [otp-api.md](otp-api.md). The examples are about +14155552671, five wrong codes allowed, and a lockout of 30 minutes.

";

const AS_BUILT: &str = "
### As built

With `redis-version-answers: as-built` the same two routes answer as the code of the Redis version does. The HTTP status can differ
from `code`. `30` in a message or in `ttl` of a new lockout is the length of the lockout in minutes, rounded up.

";

const TUTORIAL_API: &str = "
## Tutorial API

Answers of `/send-code` and `/verify-code` are `{\"message\"}`.

";

const ALL_ROUTES: &str = "
## All routes

These answers are common to the OTP API, the tutorial API and the server's own routes, in the form of the API. None of them means
that a code was right. After 500, and after 503 because the store failed, a message may have been sent and a check may count. The
server answers a head that is too large with 431 and a request that is not HTTP with 400, both without a body.

";

/// The meaning of a case, and the client's next step.
type Case = (&'static str, &'static str);

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
        assert_eq!(self.body(), body, "the table shows all members");
        members
    }

    fn status(&self) -> u16 {
        self.answer.status.as_u16()
    }

    fn status_and_headers(&self) -> String {
        let mut text = self.status().to_string();
        for (name, value) in &self.answer.headers {
            let _ = write!(text, ", `{name}: {}`", value.to_str().expect("a readable value"));
        }
        text
    }

    fn of_verify_api(&self) -> [String; 5] {
        let Members { code, message, .. } = self.members();
        let (status, words) = (self.status(), serde_json::to_string(&message).expect("a text"));
        let body = format!(
            "{{\"code\":{code},\"message\":{words},\"more_info\":\"https://www.twilio.com/docs/errors/{code}\",\"status\":{status}}}"
        );
        assert_eq!(self.body(), body, "the introduction describes all members");
        let (meaning, advice) = self.case;
        [code.to_string(), self.status_and_headers(), literal(&message), meaning.into(), advice.into()]
    }

    fn of_otp_api(&self, route: &str) -> [String; 6] {
        let Members { code, message, data } = self.only_members(true);
        assert_eq!(code, u64::from(self.status()), "the introduction says that they are equal");
        let (meaning, advice) = self.case;
        let http = self.status_and_headers();
        [route.into(), http, literal(&message), literal(&data), meaning.into(), advice.into()]
    }

    fn as_built(&self, route: &str) -> [String; 6] {
        let Members { code, message, data } = self.only_members(true);
        let http = self.status_and_headers();
        [route.into(), http, code.to_string(), literal(&message), literal(&data), self.case.0.into()]
    }

    fn of_tutorial_api(&self, route: &str) -> [String; 5] {
        let Members { message, .. } = self.only_members(false);
        let (meaning, advice) = self.case;
        [route.into(), self.status_and_headers(), literal(&message), meaning.into(), advice.into()]
    }

    fn of_all_routes(&self) -> [String; 4] {
        let Members { code, message, data } = self.only_members(true);
        assert_eq!((code, data), (u64::from(self.status()), String::new()));
        let (meaning, advice) = self.case;
        [self.status_and_headers(), literal(&message), meaning.into(), advice.into()]
    }
}

/// A text as code in a table.
fn literal(text: &str) -> String {
    match text {
        "" => String::new(),
        text if text.contains('`') => format!("`` {text} ``"),
        text => format!("`{text}`"),
    }
}

fn table<const N: usize>(doc: &mut String, headings: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let _ = write!(doc, "| {} |\n|{}\n", headings.join(" | "), "---|".repeat(N));
    for row in rows {
        let _ = writeln!(doc, "| {} |", row.join(" | "));
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

/// The refusals of verifications and of other resources, and the problems of every route.
fn verify_api_errors() -> Vec<Row> {
    let path = "/v2/Services/VA0123456789abcdef0123456789abcdef/VerificationCheck";
    let refused = refusals().into_iter().map(|refused| {
        Row::of(refusal_case(&refused), v2::Error::refused(&refused, path, Timestamp::EPOCH).answer())
    });
    let problems = problems().into_iter().filter(|problem| can_concern_verify_api(*problem));
    let problems =
        problems.map(|problem| Row::of(problem_case(problem), problem.answer(ErrorFormat::Twilio)));
    let too_many = |item, limit| of_registry(&RegistryError::TooMany { item, limit });
    let exists = |item| of_registry(&RegistryError::Exists(item));
    let read_only = "the operator changes this service in config.json".to_owned();
    let format = "must have 1 to 64 letters, digits, `-`, `_` or `.`".to_owned();
    let others: [(v2::Error, Case); 17] = [
        (
            v2::Error::missing("To"),
            ("A parameter is missing.", "Correct the request; the message names the parameter."),
        ),
        (
            too_many(Item::Webhook, 10),
            ("A service or the account has as many of these resources as it can have.", "Delete one first."),
        ),
        (
            v2::Error::forbidden("the key lacks the scope admin"),
            ("The API key lacks a scope, or is for one service only.", "Use another key."),
        ),
        (
            v2::Error::not_served("AccessTokens"),
            ("Twilio has this resource; this server does not.", "Do not use it."),
        ),
        (
            of_registry(&RegistryError::ReadOnly(read_only)),
            ("`config.json` defines the resource.", "Change it in `config.json`."),
        ),
        (
            v2::Error::caused(Cause::NoEmail, "`Channel`: email is not served here"),
            (
                "The channel is `email`. At Twilio it needs an integration, which this server does not have.",
                "Use another channel.",
            ),
        ),
        (
            v2::Error::caused(Cause::NoTarget, "give `To` or `VerificationSid`"),
            ("A check names neither a number nor a verification.", "Pass `VerificationSid`."),
        ),
        (
            v2::Error::not_served_parameter("CustomMessage"),
            ("The request has `CustomMessage`.", "Write a [template](../guides/message-templates.md)."),
        ),
        (
            v2::Error::caused(Cause::AppHash, "leave out `AppHash`, or use `Channel=sms`"),
            ("`AppHash` is given for a call or a WhatsApp message.", "Leave it out."),
        ),
        (
            of_registry(&RegistryError::Invalid { field: "unique_name", why: format }),
            ("The `UniqueName` of a rate limit has other characters, or too many.", "Choose another name."),
        ),
        (
            exists(Item::RateLimit),
            ("The service has a rate limit with this `UniqueName`.", "Use it, or choose another name."),
        ),
        (exists(Item::Bucket), ("The rate limit has a bucket with this `Interval`.", "Update that bucket.")),
        (
            exists(Item::MessagingConfiguration),
            ("The service has a messaging configuration for this country.", "Update it."),
        ),
        (exists(Item::SafeNumber), ("The number is on the safe list.", "Nothing.")),
        (
            too_many(Item::RateLimit, 25),
            ("The service has as many rate limits as it can have.", "Delete one first."),
        ),
        (
            too_many(Item::Bucket, 10),
            ("The rate limit has as many buckets as it can have.", "Delete one first."),
        ),
        (
            v2::Error::media_type(),
            ("The body is neither a form nor JSON.", "Set `Content-Type`, or send a form."),
        ),
    ];
    let others = others.into_iter().map(|(error, case)| Row::of(case, error.answer()));
    let rows: Vec<Row> = refused.chain(problems).chain(others).collect();
    for (code, status, _) in Cause::ALL.iter().map(|cause| cause.row()) {
        let is_shown = |row: &Row| (row.members().code, row.status()) == (code.into(), status.as_u16());
        assert!(rows.iter().any(is_shown), "{code} is not in the table");
    }
    rows
}

fn of_registry(error: &RegistryError) -> v2::Error {
    v2::Error::registry(error).expect("an error of its own")
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
        SendOutcome::GuardRefused(GuardRefusal::Blocked),
        SendOutcome::GuardRefused(GuardRefusal::Country),
        SendOutcome::GuardRefused(GuardRefusal::Landline),
        SendOutcome::GuardRefused(GuardRefusal::BudgetSpent { until: Timestamp::from_millis(29_500) }),
        SendOutcome::NumberRefused,
        SendOutcome::GatewayFailed,
    ]
}

const LIMITED_CASE: Case = (
    "A verification that `/v2` began for this number has no message or no check left.",
    "Use the Verify API for this number, or wait until that verification ends.",
);

const fn send_case(outcome: &SendOutcome) -> Case {
    match outcome {
        SendOutcome::Sent { .. } => ("A gateway accepted the message.", "Ask the user for the code."),
        SendOutcome::Locked { until } => locked_case(*until),
        SendOutcome::Limited(_) => LIMITED_CASE,
        SendOutcome::GuardRefused(GuardRefusal::Blocked) => (
            "The [pumping guard](../concepts/guard.md) refuses the message. The server's log says why.",
            "Do not retry at once; the operator can allow the number (`onceward guard explain`).",
        ),
        SendOutcome::GuardRefused(GuardRefusal::Country) => {
            ("The server does not send to this country.", "The operator can allow it.")
        }
        SendOutcome::GuardRefused(GuardRefusal::BudgetSpent { .. }) => {
            ("The budget of messages or money is spent.", "Wait for `Retry-After`.")
        }
        SendOutcome::GuardRefused(GuardRefusal::Landline) => {
            ("The number is a landline and cannot take text messages.", "Ask for a mobile number.")
        }
        SendOutcome::NumberRefused => {
            ("The number does not exist or cannot take messages.", "Ask for another number.")
        }
        SendOutcome::GatewayFailed => (
            "No gateway accepted the message in time. It may still arrive.",
            "Send again after a moment; the new message has a new code.",
        ),
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

const fn check_case(outcome: &CheckOutcome) -> Case {
    const WRONG: &str = "Ask for the code again, or send a new one.";
    const EXPIRED: &str = "Send a new code.";
    match outcome {
        CheckOutcome::Approved => ("The code is right. It works once.", "Continue."),
        CheckOutcome::Wrong { live: true, .. } => ("The code is wrong.", WRONG),
        CheckOutcome::Wrong { live: false, attempts_left: MAX_ATTEMPTS } => {
            ("No code is live: used, or never sent. Nothing is counted.", EXPIRED)
        }
        CheckOutcome::Wrong { live: false, .. } => ("The code has expired. The check counts.", EXPIRED),
        CheckOutcome::LockedNow { live: true, .. } => (
            "The code is wrong and used the last attempt.",
            "Wait until the lockout ends, then send a new code.",
        ),
        CheckOutcome::LockedNow { live: false, .. } => (
            "The last attempt was used after the code had expired.",
            "Wait until the lockout ends, then send a new code.",
        ),
        CheckOutcome::Locked { until } => locked_case(*until),
        CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => LIMITED_CASE,
        CheckOutcome::GatewayFailed => (
            "The provider that holds the code did not say whether it is right. The check counts, unless the provider did \
             not look at the code.",
            "Try again after a moment.",
        ),
    }
}

const fn locked_case(until: Timestamp) -> Case {
    const WAIT: &str = "Wait until the lockout ends.";
    if until.as_millis() < 60_000 {
        ("The number is locked out, for less than a minute.", WAIT)
    } else {
        ("The number is locked out, for 29 minutes and 10 seconds.", WAIT)
    }
}

/// All but those that are refusals of every route.
fn refusals() -> [Refused; 20] {
    let until = Timestamp::from_millis(29_500);
    let template = Sid::new(SidKind::Template, [0xab; 16]);
    [
        Refused::NotFound,
        Refused::Invalid("RateLimits: this service has no rate limit \"session\"".to_owned()),
        Refused::Text(TextError::UnknownTemplate(template)),
        Refused::Text(TextError::OtherChannel { template, channel: Channel::Call }),
        Refused::Text(TextError::MissingSubstitution("door".to_owned())),
        Refused::Text(TextError::OtherLanguage(Locale::parse("de").expect("a language"))),
        Refused::FeatureOff("`CustomCode` needs a service with CustomCodeEnabled=true"),
        Refused::ChannelOff,
        Refused::NoChecksLeft { until },
        Refused::NoSendsLeft { until },
        Refused::TooMany { until },
        Refused::Landline,
        Refused::Concurrent,
        Refused::Blocked,
        Refused::ByGuard,
        Refused::Country,
        Refused::OtherRequest,
        Refused::StillAnswering,
        Refused::GatewayFailed,
        Refused::OutOfService { until },
    ]
}

const fn refusal_case(refused: &Refused) -> Case {
    match refused {
        Refused::NotFound => (
            "The verification does not exist, was approved or canceled, or has expired. Also: another resource of the path \
             does not exist.",
            "Begin a new verification.",
        ),
        Refused::Invalid(_) => (
            "A parameter is malformed, out of its bounds, or not served. Or the provider says that the number does not exist \
             or that its owner wants no messages.",
            "Correct the request; the message names the parameter.",
        ),
        Refused::Text(TextError::UnknownTemplate(_)) => {
            ("There is no template with this `TemplateSid`.", "Choose one of `GET /v2/Templates`.")
        }
        Refused::Text(TextError::OtherChannel { .. }) => {
            ("The template of `TemplateSid` is not for this channel.", "Choose another template or channel.")
        }
        Refused::Text(TextError::MissingSubstitution(_)) => {
            ("The template has a placeholder without a value.", "Add it to `TemplateCustomSubstitutions`.")
        }
        Refused::Text(TextError::OtherLanguage(_)) => (
            "No text is in the language of `Locale`: the built-in text is in English.",
            "Leave `Locale` out, or choose a template with this language.",
        ),
        Refused::Text(TextError::BadValue { .. } | TextError::TooManyValues | TextError::Text(_)) => {
            ("A value cannot stand in the message.", "Correct the request.")
        }
        Refused::FeatureOff(_) => (
            "`CustomCode` is given, and the service does not allow it or the gateway makes its own codes.",
            "Set `CustomCodeEnabled`, or leave `CustomCode` out.",
        ),
        Refused::ChannelOff => ("No gateway sends to this number on this channel.", "Use another channel."),
        Refused::NoChecksLeft { .. } => (
            "No check is left.",
            "Wait for `Retry-After`. Canceling the verification allows a new one, unless the number is locked or stopped; \
             then the account can end that.",
        ),
        Refused::NoSendsLeft { .. } => (
            "The verification has had all its messages.",
            "Wait for `Retry-After`, or cancel the verification.",
        ),
        Refused::TooMany { .. } => (
            "A rate limit is reached, a budget of messages is spent, the next message must wait (`CoolingDown`), or a message with another code is on its way.",
            "Wait for `Retry-After`.",
        ),
        Refused::Landline => {
            ("The number is a landline and cannot take text messages.", "Use `Channel=call`.")
        }
        Refused::Concurrent => (
            "More than 64 requests for this number are in progress.",
            "Send one request at a time for a number.",
        ),
        Refused::Blocked => ("The provider blocks this range of numbers, because of fraud.", "Do not retry."),
        Refused::ByGuard => (
            "The [pumping guard](../concepts/guard.md) refuses the message. The server's log says why.",
            "Do not retry at once; the operator can allow the number (`onceward guard explain`).",
        ),
        Refused::Country => {
            ("The server or the provider does not send to this country.", "Allow the country there.")
        }
        Refused::OtherRequest => {
            ("The `Idempotency-Key` was used with other parameters.", "Use a new key for each request.")
        }
        Refused::StillAnswering => {
            ("The first request with this `Idempotency-Key` is in progress.", "Retry after `Retry-After`.")
        }
        Refused::GatewayFailed => (
            "No gateway accepted the message or checked the code in time. The message may still arrive.",
            "Send the same request again; the code stays the same, unless the service has `Resend=new`.",
        ),
        Refused::OutOfService { .. } => (
            "The circuit breaker of every gateway for this number is open. Nothing was sent.",
            "Retry after `Retry-After`: the next message then probes a gateway.",
        ),
        Refused::Unavailable(_) => ("The server is overloaded or stopping.", "Retry after `Retry-After`."),
    }
}

fn problems() -> [Problem; 25] {
    [
        Problem::BadBody(BadBody::NotUtf8),
        Problem::Unauthenticated,
        Problem::Forbidden,
        Problem::NotFound,
        Problem::MethodNotAllowed("POST"),
        Problem::CrossSite,
        Problem::ForeignHost,
        Problem::BadSignature,
        Problem::CallbackUnavailable,
        Problem::BodyTooSlow,
        Problem::BodyTooLarge(Bounds::default().body_bytes),
        Problem::Refused(Refusal::NumberBusy),
        Problem::Refused(Refusal::Overloaded),
        Problem::Refused(Refusal::SendsOverloaded { retry_after: 2 }),
        Problem::Refused(Refusal::TableFull { table: LimitedTable::Numbers, retry_after: 90 }),
        Problem::Refused(Refusal::TableFull { table: LimitedTable::StoredResponses, retry_after: 90 }),
        Problem::Refused(Refusal::StoreUnavailable),
        Problem::Refused(Refusal::Starting),
        Problem::Refused(Refusal::Stopping),
        Problem::Panicked,
        Problem::BadHead,
        Problem::BadHost,
        Problem::PlainHttp,
        Problem::HeadTooSlow,
        Problem::TooManyConnections,
    ]
}

fn problem_case(problem: Problem) -> Case {
    const RETRY: &str = "Retry after `Retry-After`.";
    match problem {
        Problem::BadBody(_) => {
            ("The body is not what the route reads. Nothing is counted.", "Correct the request.")
        }
        Problem::Unauthenticated => {
            ("The credentials are missing or wrong.", "See [keys](../operate/keys.md).")
        }
        Problem::Forbidden => {
            ("The API key lacks the scope `verify`, or is for another service.", "Use another key.")
        }
        Problem::NotFound => ("The path does not exist.", "Correct the path."),
        Problem::MethodNotAllowed(_) => ("The path does not have this method.", "Use a method of `Allow`."),
        Problem::CrossSite => {
            ("A web page of another site had a browser send the request.", "Call the API from your server.")
        }
        Problem::ForeignHost => (
            "The host name of the request for the inbox is not one of the server's.",
            "Use `localhost` or an IP address.",
        ),
        Problem::BadSignature => (
            "A callback is not signed by Twilio for this URL.",
            "Set `public-url` to the URL that Twilio calls.",
        ),
        Problem::CallbackUnavailable => {
            ("The server cannot take a callback now.", "The provider may report again.")
        }
        Problem::BodyTooSlow => ("The body took more than 10 s.", "Send the request again."),
        Problem::BodyTooLarge(_) => ("The body is larger than the configured limit.", "Send a smaller body."),
        Problem::Refused(Refusal::NumberBusy) => (
            "More than 64 requests for this number are in progress.",
            "Send one request at a time for a number.",
        ),
        Problem::Refused(Refusal::Overloaded) => ("Too many requests are in progress.", RETRY),
        Problem::Refused(Refusal::SendsOverloaded { .. }) => {
            ("Too many messages wait for the gateway.", RETRY)
        }
        Problem::Refused(Refusal::TableFull {
            table: LimitedTable::Numbers | LimitedTable::TestNumbers,
            ..
        }) => (
            "The service has as many numbers as `max-numbers` and other services leave it. This one is new.",
            RETRY,
        ),
        Problem::Refused(Refusal::TableFull {
            table: LimitedTable::StoredResponses | LimitedTable::Counters,
            ..
        }) => (
            "The service has as many idempotency keys, or values of rate limits, as other services leave it.",
            RETRY,
        ),
        Problem::Refused(Refusal::StoreUnavailable) => {
            ("The store failed. The check or the message may count.", RETRY)
        }
        Problem::Refused(Refusal::Starting) => ("The server is loading its data.", RETRY),
        Problem::Refused(Refusal::Stopping) => {
            ("The server is stopping, or restarts a part of itself.", RETRY)
        }
        Problem::Panicked => ("The server has a bug.", "Report it with the log."),
        Problem::BadHead => {
            ("The request head is incomplete, or is HTTP/2 without TLS.", "Use HTTP/1.1, or HTTP/2 over TLS.")
        }
        Problem::BadHost => (
            "The request has no `Host` header, more than one, or a malformed one.",
            "Send the host of the address once.",
        ),
        Problem::PlainHttp => ("The request came without TLS; TLS is configured.", "Use `https`."),
        Problem::HeadTooSlow => ("The request head took more than 10 s.", "Send the request again."),
        Problem::TooManyConnections => {
            ("As many connections are open as is allowed.", "Retry after `Retry-After`; reuse connections.")
        }
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
        | Problem::BodyTooSlow
        | Problem::BodyTooLarge(_)
        | Problem::BadHost
        | Problem::Refused(_)
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
