//! `docs/reference/errors.md`, made from the tables that the server answers with. The file is also the
//! snapshot of those tables: a change of an answer shows up as a difference in it.

use std::fmt::Write as _;
use std::time::Duration;

use crate::config::{AnswerSet, Bounds};
use crate::domain::{PhoneNumber, Timestamp};
use crate::http::answer::{Answer, Shape};
use crate::http::answers::{api_check, api_send, tutorial_check, tutorial_send};
use crate::http::problem::{BadBody, Problem};
use crate::http::v2;
use crate::numbers::{CheckOutcome, Refusal, Reply, SendLimit, SendOutcome};
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
        "docs/reference/errors.md is stale. Run `UPDATE_DOCS=1 cargo test --lib docs_errors_md` and review the difference."
    );
}

fn document() -> String {
    let mut doc = String::from(INTRODUCTION);
    for (set, title) in
        [(AnswerSet::Documented, "Documented (the default)"), (AnswerSet::AsBuilt, "As built")]
    {
        let _ = write!(doc, "\n## {title}: `redis-version-answers: {}`\n", spelling(set));
        table(
            &mut doc,
            "POST /api/send-otp",
            sends().iter().map(|outcome| (send_case(outcome), api_send(set, &reply(outcome), number()))),
        );
        table(
            &mut doc,
            "POST /api/verify-otp",
            checks()
                .iter()
                .map(|outcome| (check_case(outcome), api_check(set, &reply(outcome), number(), LOCKOUT))),
        );
    }
    doc.push_str("\n## The tutorial's API\n");
    table(
        &mut doc,
        "POST /send-code",
        sends().iter().map(|outcome| (send_case(outcome), tutorial_send(&reply(outcome)))),
    );
    table(
        &mut doc,
        "POST /verify-code",
        checks().iter().map(|outcome| (check_case(outcome), tutorial_check(&reply(outcome)))),
    );
    doc.push_str(TWILIO);
    table(
        &mut doc,
        "Verifications and VerificationCheck",
        refusals().into_iter().map(|refused| {
            let path = "/v2/Services/VA0123456789abcdef0123456789abcdef/VerificationCheck";
            (refusal_case(&refused), v2::Error::refused(&refused, path, Timestamp::EPOCH).answer())
        }),
    );
    doc.push_str(PROBLEMS);
    table(
        &mut doc,
        "All routes but the tutorial's",
        problems().into_iter().map(|problem| (problem_case(problem), problem.answer(Shape::Envelope))),
    );
    table(
        &mut doc,
        "Routes below /v2",
        problems()
            .into_iter()
            .filter(|problem| has_a_path(*problem) || *problem == Problem::NotFound)
            .map(|problem| (problem_case(problem), problem.answer(Shape::Twilio))),
    );
    table(
        &mut doc,
        "POST /send-code and POST /verify-code",
        problems()
            .into_iter()
            .filter(|problem| has_a_path(*problem))
            .map(|problem| (problem_case(problem), problem.answer(Shape::Message))),
    );
    doc
}

const INTRODUCTION: &str = "\
# Every answer, by cause

This page is made from the tables that the server answers with, by a test; do not edit it
(`UPDATE_DOCS=1 cargo test --lib docs_errors_md`). What the routes take is in [otp-api.md](otp-api.md).

The examples are about +14155552671, a maximum of five wrong codes and a lockout of 30 minutes, of
which 29 minutes and 10 seconds are left where it had begun before. With another lockout the as-built
texts that say `30 min` name its minutes, rounded up.
";

const TWILIO: &str = "
## Twilio Verify's API

Below `/v2` a wrong code is no error: it is 200 with the status `pending`. The numbers are Twilio's where it documents
one, else 20000 and the status, as Twilio's own general ones are.
";

const PROBLEMS: &str = "
## On every route

These requests got no decision: none of them says that a code was sent, right or wrong. After 500, or
503 because the store failed, an attempt may count all the same, for trouble errs on the strict side.
413 tells the configured limit. A request that is not HTTP gets 400 without a body, and a head that is
too large 431 without a body.
";

fn table(doc: &mut String, title: &str, rows: impl Iterator<Item = (&'static str, Answer)>) {
    let _ = write!(doc, "\n### {title}\n\n| case | HTTP | body |\n|---|---|---|\n");
    for (case, answer) in rows {
        let body = std::str::from_utf8(&answer.body).expect("JSON is UTF-8");
        let headers: Vec<_> = answer
            .headers
            .iter()
            .map(|(name, value)| format!(", `{name}: {}`", value.to_str().expect("a readable value")))
            .collect();
        let _ = writeln!(doc, "| {case} | {}{} | `{body}` |", answer.status.as_u16(), headers.concat());
    }
}

const fn spelling(set: AnswerSet) -> &'static str {
    match set {
        AnswerSet::Documented => "documented",
        AnswerSet::AsBuilt => "as-built",
    }
}

fn reply<O: Clone>(outcome: &O) -> Reply<O> {
    Reply::new(outcome.clone(), Timestamp::EPOCH, None)
}

fn number() -> PhoneNumber {
    PhoneNumber::parse("+14155552671", None).expect("a number")
}

fn sends() -> [SendOutcome; 6] {
    [
        SendOutcome::Sent {
            attempts_left: 5,
            message_id: "SM5ef8732a3c49700934481addd5ce1659".to_owned(),
            postponed: false,
        },
        SendOutcome::Locked { until: Timestamp::EPOCH.plus(Duration::from_secs(29 * 60 + 10)) },
        SendOutcome::Locked { until: Timestamp::EPOCH.plus(Duration::from_secs(59)) },
        SendOutcome::Limited(SendLimit::NoSendsLeft { until: Timestamp::EPOCH }),
        SendOutcome::NumberRefused,
        SendOutcome::GatewayFailed,
    ]
}

const LIMITED_CASE: &str = "a limit of the verification that `/v2` began for this number";

fn send_case(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Sent { .. } => "the provider accepted the message",
        SendOutcome::Locked { until } => locked_case(*until),
        SendOutcome::Limited(_) => LIMITED_CASE,
        SendOutcome::NumberRefused => "the provider says: no such number, or it cannot take messages",
        SendOutcome::GatewayFailed => "the provider refused otherwise, or did not answer in time",
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
        CheckOutcome::NoChecksLeft { until: None },
        CheckOutcome::GatewayFailed,
    ]
}

fn check_case(outcome: &CheckOutcome) -> &'static str {
    match outcome {
        CheckOutcome::Approved => "the code is right",
        CheckOutcome::Wrong { live: true, .. } => "wrong code",
        CheckOutcome::Wrong { live: false, attempts_left: MAX_ATTEMPTS } => {
            "no live code: used, or never sent; nothing is counted"
        }
        CheckOutcome::Wrong { live: false, .. } => "no live code: expired; it counts",
        CheckOutcome::LockedNow { live: true, .. } => "wrong code that uses the last trial",
        CheckOutcome::LockedNow { live: false, .. } => "last trial used without a live code",
        CheckOutcome::Locked { until } => locked_case(*until),
        CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => LIMITED_CASE,
        CheckOutcome::GatewayFailed => {
            "the provider that holds the code did not say whether it is right; it counts, unless the \
             provider surely did not look at it"
        }
    }
}

fn locked_case(until: Timestamp) -> &'static str {
    if until.since(Timestamp::EPOCH).as_secs() < 60 {
        "locked out, less than a minute left"
    } else {
        "locked out"
    }
}

/// But for those that are refusals of every route.
fn refusals() -> [Refused; 13] {
    let until = Timestamp::from_millis(29_500);
    [
        Refused::NotFound,
        Refused::Invalid("`TemplateSid`: there is no such template".to_owned()),
        Refused::NoChecksLeft { until: Some(until) },
        Refused::NoChecksLeft { until: None },
        Refused::NoSendsLeft { until },
        Refused::TooMany { until },
        Refused::Landline,
        Refused::Concurrent,
        Refused::Blocked,
        Refused::Country,
        Refused::OtherRequest,
        Refused::StillAnswering,
        Refused::GatewayFailed,
    ]
}

const fn refusal_case(refused: &Refused) -> &'static str {
    match refused {
        Refused::NotFound => "no such verification, or it was used, has expired or was ended",
        Refused::Invalid(_) => "a value cannot be served",
        Refused::NoChecksLeft { until: Some(_) } => "too many wrong codes",
        Refused::NoChecksLeft { until: None } => "too many wrong codes, until an operator lets it go",
        Refused::NoSendsLeft { .. } => "too many messages",
        Refused::TooMany { .. } => "too soon after the last message, or a rate limit is reached",
        Refused::Landline => "a text message to a landline",
        Refused::Concurrent => "too many requests for one number at once",
        Refused::Blocked => "the provider blocks the range of numbers",
        Refused::Country => "the country is not allowed",
        Refused::OtherRequest => "an Idempotency-Key that was used with another request",
        Refused::StillAnswering => "an Idempotency-Key whose first request has no answer yet",
        Refused::GatewayFailed => "the provider refused, or did not answer in time",
        Refused::Unavailable(_) => "the server cannot serve it now",
    }
}

fn problems() -> [Problem; 22] {
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
        Problem::Refused(Refusal::SendsOverloaded),
        Problem::Refused(Refusal::TooManyNumbers),
        Problem::Refused(Refusal::StoreUnavailable),
        Problem::Refused(Refusal::Stopping),
        Problem::Panicked,
        Problem::BadHead,
        Problem::PlainHttp,
        Problem::HeadTooSlow,
        Problem::TooManyConnections,
    ]
}

const fn problem_case(problem: Problem) -> &'static str {
    match problem {
        Problem::BadBody(_) => "the body is not what the route reads",
        Problem::Unauthenticated => "no credential where one is asked for, or a wrong one",
        Problem::Forbidden => "an API key that may not do this",
        Problem::NotFound => "no such path",
        Problem::MethodNotAllowed(_) => "no such method on this path",
        Problem::CrossSite => "POST by a web page of another site",
        Problem::ForeignHost => "the inbox, under a host name that may be somebody else's",
        Problem::BadSignature => "a callback that is not signed by Twilio for this address",
        Problem::CallbackUnavailable => "a callback that cannot be taken now",
        Problem::BodyTooSlow => "slow body",
        Problem::BodyTooLarge(_) => "large body",
        Problem::Refused(Refusal::NumberBusy) => "throttled: too many requests for one number at once",
        Problem::Refused(Refusal::Overloaded) => "too many requests at once",
        Problem::Refused(Refusal::SendsOverloaded) => "too many messages waiting for the provider",
        Problem::Refused(Refusal::TooManyNumbers) => "too many numbers at once, and this one is new",
        Problem::Refused(Refusal::StoreUnavailable) => "the store failed",
        Problem::Refused(Refusal::Stopping) => "the server stops or restarts a part of itself",
        Problem::Panicked => "a mistake of ours; please report it",
        Problem::BadHead => "a head that breaks off, or HTTP/2 without TLS",
        Problem::PlainHttp => "HTTP without TLS, where TLS is configured",
        Problem::HeadTooSlow => "slow request head",
        Problem::TooManyConnections => "all connections taken",
    }
}

/// Whether the problem can arise where the path is known to be one of the tutorial's.
const fn has_a_path(problem: Problem) -> bool {
    match problem {
        Problem::BadBody(_)
        | Problem::Unauthenticated
        | Problem::Forbidden
        | Problem::MethodNotAllowed(_)
        | Problem::CrossSite
        | Problem::BodyTooSlow
        | Problem::BodyTooLarge(_)
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
