//! The start page. Where every message goes to the simulator, its forms send a code and check it, through the same
//! service as `/api`.

use askama::Template;
use hyper::StatusCode;
use hyper::header::{HOST, HeaderValue, LOCATION};
use hyper::http::request::Parts;

use super::inbox::{InboxView, MessageJson};
use super::{Frame, LIVE, STYLE_ONLY, html_live, html_shared};
use crate::domain::{Code, NumberError, PhoneNumber, ServiceId, minutes_up};
use crate::gateway::Simulator;
use crate::guard::GuardRefusal;
use crate::http::compatible;
use crate::http::request;
use crate::http::response::{NotServed, Problem, Response};
use crate::http::server::{Deps, Verify};
use crate::http::service::Call;
use crate::http::v2::params::{Param, Text};
use crate::numbers::{CheckOutcome, CheckRequest, NumberKey, Refusal, Reply, SendOutcome};
use crate::registry::Scope;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    script: &'static str,
    has_inbox: bool,
    trial: Trial,
}

/// The part of the page that sends and checks codes.
enum Trial {
    /// Another gateway than the simulator sends messages.
    None,
    OtherHost,
    Starting,
    /// Whether credentials were refused, and which API key is accepted.
    SignIn(bool, &'static str),
    Open(Box<Form>),
}

/// The forms and what came of them.
struct Form {
    /// What the first form shows.
    number: String,
    /// The number that a code was sent to.
    to: Option<PhoneNumber>,
    send_problem: Option<String>,
    check_problem: Option<String>,
    newest: Option<MessageJson>,
    origin: String,
    /// The option of curl for the credentials that `/api` requires.
    credentials: &'static str,
    now_ms: u64,
}

impl Form {
    fn is_verified(&self) -> bool {
        self.to.is_some()
            && self.check_problem.is_none()
            && self.newest.as_ref().is_some_and(MessageJson::is_used)
    }

    fn example(&self) -> String {
        self.to.map_or_else(|| PhoneNumber::EXAMPLE.to_owned(), PhoneNumber::e164)
    }

    /// The address that shows this form again.
    fn address(&self) -> String {
        self.to.map_or_else(|| "/".to_owned(), address_of)
    }
}

fn address_of(to: PhoneNumber) -> String {
    format!("/?to=%2B{}", to.as_u64())
}

/// What went wrong, for a person.
enum Failure {
    Send(StatusCode, String),
    Check(StatusCode, String),
}

/// `GET /` for a browser.
pub fn page<V: Verify>(deps: &Deps<V>, head: &Parts) -> Response {
    let query = head.uri.query().unwrap_or_default();
    if query == "sign-in" && deps.simulates_all {
        return match access(deps, head) {
            Ok(()) => redirect("/"),
            Err(problem) => refused(deps, problem),
        };
    }
    let to = request::form_field(query.as_bytes(), "to");
    let to = to.and_then(|text| PhoneNumber::parse(&text, deps.default_region).ok());
    shown(deps, head, to, None)
}

/// `POST /try/send`: sends a code to `number`.
pub async fn send<V: Verify>(call: &Call<'_, V>, head: &Parts, body: &[u8]) -> Result<Response, Problem> {
    let deps = call.deps;
    if let Err(problem) = access(deps, head) {
        return Ok(refused(deps, problem));
    }
    let text = request::form_field(body, "number").unwrap_or_default();
    let failed = |status, words| Ok(failed(deps, head, (&text, None), Failure::Send(status, words)));
    let number = match PhoneNumber::parse(&text, deps.default_region) {
        Ok(number) => number,
        Err(error) => return failed(StatusCode::BAD_REQUEST, words_for_number(error)),
    };
    match call.send(compatible::plain_send(number)).await {
        Err(Problem::Refused(refusal)) => Ok(overloaded(deps, head, (&text, None), refusal, Failure::Send)),
        Err(problem) => Err(problem),
        Ok(reply) => match words_for_send(&reply) {
            None => Ok(redirect(&address_of(number))),
            Some((status, words)) => failed(status, words),
        },
    }
}

/// `POST /try/check`: checks the `code` that was sent to `number`.
pub async fn check<V: Verify>(call: &Call<'_, V>, head: &Parts, body: &[u8]) -> Result<Response, Problem> {
    let deps = call.deps;
    if let Err(problem) = access(deps, head) {
        return Ok(refused(deps, problem));
    }
    let text = request::form_field(body, "number").unwrap_or_default();
    let number = match PhoneNumber::parse(&text, deps.default_region) {
        Ok(number) => number,
        Err(error) => {
            let failure = Failure::Send(StatusCode::BAD_REQUEST, words_for_number(error));
            return Ok(failed(deps, head, (&text, None), failure));
        }
    };
    let to = (text.as_str(), Some(number));
    let failed = |status, words| Ok(failed(deps, head, to, Failure::Check(status, words)));
    let code = request::form_field(body, "code").unwrap_or_default();
    let code: String = code.split_whitespace().collect();
    if code.is_empty() {
        return failed(StatusCode::BAD_REQUEST, "Enter the code from the message.".to_owned());
    }
    let (key, code) = (NumberKey::new(ServiceId::DEFAULT, number), Code::parse(&code));
    let request = CheckRequest { key, code, named: None, request_id: None };
    match call.check(request).await {
        Err(Problem::Refused(refusal)) => Ok(overloaded(deps, head, to, refusal, Failure::Check)),
        Err(problem) => Err(problem),
        Ok(reply) => match words_for_check(&reply) {
            None => Ok(redirect(&address_of(number))),
            Some((status, words)) => failed(status, words),
        },
    }
}

/// The most bytes of a number that are repeated.
const LONGEST_NUMBER: usize = 40;

/// Describes the body of `POST /try/send`.
pub fn describe_send() -> Vec<Param> {
    vec![Param::of::<Text<LONGEST_NUMBER>>("number", "The number, in E.164 form.", PhoneNumber::EXAMPLE)]
}

/// Describes the body of `POST /try/check`.
pub fn describe_check() -> Vec<Param> {
    let code = Param::of::<Text<40>>("code", "The submitted code.", "123456");
    describe_send().into_iter().chain([code]).collect()
}

/// Whether a request may send, check and see codes.
fn access<V>(deps: &Deps<V>, head: &Parts) -> Result<(), Problem> {
    if !request::names_this_server(head, deps.host_name.as_deref()) {
        return Err(Problem::ForeignHost);
    }
    let v2 = deps.v2.get();
    if deps.inbox_needs_credentials {
        v2.ok_or(Problem::Refused(Refusal::Starting))?.admit(head, &[Scope::Admin])?;
    }
    v2.map_or(Ok(()), |v2| v2.admit_compatible(head, deps.host_name.as_deref()))
}

fn api_needs_key<V>(deps: &Deps<V>) -> bool {
    deps.v2.get().is_some_and(|v2| v2.registry.compatible_routes_need_key())
}

/// The API key that [`access`] accepts, in words.
fn accepted_key<V>(deps: &Deps<V>) -> &'static str {
    match (deps.inbox_needs_credentials, api_needs_key(deps)) {
        (true, true) => "an API key for all services with the scopes admin and verify",
        (true, false) => "an API key for all services with the scope admin",
        (false, _) => "an API key with the scope verify, for the service default or for all services",
    }
}

/// The option with which `curl` authenticates to `/api`, and a space; empty if it needs none.
pub fn curl_credentials<V>(deps: &Deps<V>) -> &'static str {
    if api_needs_key(deps) { "-u KEY:SECRET " } else { "" }
}

/// The page for a request that is not allowed. 401 makes the browser ask for credentials.
fn refused<V>(deps: &Deps<V>, problem: Problem) -> Response {
    let (status, trial) = match problem {
        Problem::ForeignHost => (StatusCode::FORBIDDEN, Trial::OtherHost),
        Problem::Unauthenticated | Problem::Forbidden => {
            (StatusCode::UNAUTHORIZED, Trial::SignIn(true, accepted_key(deps)))
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, Trial::Starting),
    };
    let page = Response { status, ..rendered(deps, trial) };
    match status {
        StatusCode::UNAUTHORIZED => page.with_challenge(),
        StatusCode::SERVICE_UNAVAILABLE => page.retry_later(),
        _ => page,
    }
}

/// The page with the reason why the server does not serve a request now.
fn overloaded<V: Verify>(
    deps: &Deps<V>,
    head: &Parts,
    to: (&str, Option<PhoneNumber>),
    refusal: Refusal,
    failure: fn(StatusCode, String) -> Failure,
) -> Response {
    let (status, words) = Problem::Refused(refusal).status_and_message();
    failed(deps, head, to, failure(status, words.into_owned()))
        .retry_later()
        .because(NotServed::Refused(refusal))
}

fn failed<V: Verify>(
    deps: &Deps<V>,
    head: &Parts,
    (text, to): (&str, Option<PhoneNumber>),
    failure: Failure,
) -> Response {
    let (Failure::Send(status, _) | Failure::Check(status, _)) = failure;
    Response { status, ..shown(deps, head, to, Some((text, failure))) }
}

fn shown<V: Verify>(
    deps: &Deps<V>,
    head: &Parts,
    to: Option<PhoneNumber>,
    failure: Option<(&str, Failure)>,
) -> Response {
    let trial = match (deps.inbox.as_deref().filter(|_| deps.simulates_all), access(deps, head)) {
        (None, _) => Trial::None,
        (Some(simulator), Ok(())) => {
            let mut number = to.map_or_else(|| PhoneNumber::EXAMPLE.to_owned(), PhoneNumber::e164);
            let (mut send_problem, mut check_problem) = (None, None);
            match failure {
                Some((text, Failure::Send(_, words))) => {
                    if text.len() <= LONGEST_NUMBER {
                        text.clone_into(&mut number);
                    }
                    send_problem = Some(words);
                }
                Some((_, Failure::Check(_, words))) => check_problem = Some(words),
                None => {}
            }
            let origin = origin(deps, head);
            let newest = with_view(deps, simulator, &origin, |view| view.newest(to));
            let now_ms = simulator.now().as_millis();
            let credentials = curl_credentials(deps);
            Trial::Open(Box::new(Form {
                number,
                to,
                send_problem,
                check_problem,
                newest,
                origin,
                credentials,
                now_ms,
            }))
        }
        (_, Err(Problem::Unauthenticated)) => Trial::SignIn(false, accepted_key(deps)),
        (_, Err(Problem::Forbidden)) => Trial::SignIn(true, accepted_key(deps)),
        (_, Err(Problem::ForeignHost)) => Trial::OtherHost,
        (_, Err(_)) => Trial::Starting,
    };
    rendered(deps, trial)
}

fn rendered<V>(deps: &Deps<V>, trial: Trial) -> Response {
    let has_inbox = deps.inbox.is_some();
    let is_open = matches!(trial, Trial::Open(_));
    let page = HomePage { frame: Frame::new("/", has_inbox), script: LIVE, has_inbox, trial };
    if is_open { html_live(&page) } else { html_shared(&page, &STYLE_ONLY) }
}

/// Calls `show` with the view of the simulator.
pub fn with_view<V, T>(
    deps: &Deps<V>,
    simulator: &Simulator,
    origin: &str,
    show: impl FnOnce(InboxView<'_>) -> T,
) -> T {
    let service_name = |id: ServiceId| {
        let registry = deps.v2.get().map(|v2| &v2.registry);
        let title = registry.and_then(|registry| Some(registry.title(&*registry.service_by_id(id)?)));
        title.unwrap_or_else(|| "removed".to_owned())
    };
    show(InboxView {
        simulator,
        default_region: deps.default_region,
        is_only: deps.simulates_all,
        service_name: &service_name,
        origin,
        credentials: curl_credentials(deps),
    })
}

/// Scheme and host of this server, as the request names them.
pub fn origin<V>(deps: &Deps<V>, head: &Parts) -> String {
    let host = request::only(&head.headers, &HOST).unwrap_or("localhost:3000");
    format!("{}://{host}", if deps.tls.is_some() { "https" } else { "http" })
}

pub fn redirect(address: &str) -> Response {
    let mut response = Response::page("text/html; charset=utf-8", &[], String::new());
    response.status = StatusCode::SEE_OTHER;
    // Our own addresses are ASCII.
    let address = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("/"));
    response.headers.push((LOCATION, address));
    response
}

pub fn words_for_number(error: NumberError) -> String {
    match error {
        NumberError::Unreadable => format!(
            "This is not a phone number. Begin with + and the country code, such as {}.",
            PhoneNumber::EXAMPLE
        ),
        NumberError::Impossible => "No number of that country has this length.".to_owned(),
    }
}

/// Why a code was not sent; `None` if it was.
fn words_for_send(reply: &Reply<SendOutcome>) -> Option<(StatusCode, String)> {
    Some(match &reply.outcome {
        SendOutcome::Sent { .. } => return None,
        SendOutcome::Locked { until } => (StatusCode::FORBIDDEN, locked(until.since(reply.at))),
        SendOutcome::Limited(_) => (
            StatusCode::TOO_MANY_REQUESTS,
            "This verification has had as many messages as its service allows. Wait until its code has expired."
                .to_owned(),
        ),
        SendOutcome::GuardRefused(GuardRefusal::BudgetSpent { until }) => (
            StatusCode::TOO_MANY_REQUESTS,
            format!("The budget of messages is spent until {}.", until.rfc3339_seconds()),
        ),
        SendOutcome::NumberRefused | SendOutcome::GuardRefused(GuardRefusal::Landline) => {
            let reason = compatible::number_refused(reply);
            (StatusCode::BAD_REQUEST, format!("No code was sent: {reason}."))
        }
        SendOutcome::GuardRefused(GuardRefusal::Blocked { .. } | GuardRefusal::Country) => (
            StatusCode::FORBIDDEN,
            "The pumping guard does not permit a message to this number. The log says which rule.".to_owned(),
        ),
        SendOutcome::GatewayFailed => (
            StatusCode::BAD_GATEWAY,
            "The code may not have been sent: the provider refused it or did not answer in time.".to_owned(),
        ),
    })
}

const NO_LIVE_CODE: &str = "This number has no code that works: it was used or replaced, or it has expired.";

/// Why a code is not accepted; `None` if it is.
fn words_for_check(reply: &Reply<CheckOutcome>) -> Option<(StatusCode, String)> {
    Some(match reply.outcome {
        CheckOutcome::Approved => return None,
        CheckOutcome::Wrong { attempts_left, live } => {
            let words = if live {
                let more = if attempts_left == 1 { "attempt is" } else { "attempts are" };
                format!("That code is wrong. {attempts_left} {more} left.")
            } else {
                NO_LIVE_CODE.to_owned()
            };
            (StatusCode::BAD_REQUEST, words)
        }
        CheckOutcome::LockedNow { until, .. } | CheckOutcome::Locked { until } => {
            (StatusCode::FORBIDDEN, locked(until.since(reply.at)))
        }
        CheckOutcome::NotFound => (StatusCode::BAD_REQUEST, NO_LIVE_CODE.to_owned()),
        CheckOutcome::NoChecksLeft { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "No more attempts are allowed for this code. Wait until it has expired.".to_owned(),
        ),
        CheckOutcome::GatewayFailed => (
            StatusCode::BAD_GATEWAY,
            "The code could not be checked: the provider that holds it did not answer in time.".to_owned(),
        ),
    })
}

fn locked(remaining: std::time::Duration) -> String {
    let minutes = minutes_up(remaining);
    let unit = if minutes == 1 { "minute" } else { "minutes" };
    format!("This number is locked after too many wrong codes. Try again in {minutes} {unit}.")
}
