//! The list of messages: every attempt of every gateway, with filters in the address.

use askama::Template;
use tracing::info;

use super::list::{self, List, Pager};
use super::overview::money;
use super::session::Notice;
use super::{AdminRequest, Form, PageHeader, moment};
use crate::attempts::{ListedAttempt, StatusFilter, VerifyStatus};
use crate::delivery::SendStatus;
use crate::domain::{Channel, GatewayName, PhoneNumber, Region, Sid, SidKind, Timestamp};
use crate::gateway::ReceiptStatus;
use crate::http::pages::{Frame, redirect};
use crate::http::response::Response;
use crate::http::v2::attempts::message_status;
use crate::http::v2::params::{NumberEnding, ServiceSid, Text, UtcTime, VerificationSid, Whole, parameters};
use crate::numbers::Refusal;
use crate::shard::LogPart;
use crate::verify::{AttemptQuery, Refused, SealedAttempt};

const PATH: &str = "/admin/messages";

parameters! {
    /// The filters of the list.
    pub struct Filters {
        /// At or after this day or moment of UTC.
        "since" = "2026-01-31" => since: Option<UtcTime>,
        /// Before it.
        "until" = "2026-02-28T12:00:00Z" => until: Option<UtcTime>,
        /// Of this service.
        "service" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
        /// To this country.
        "country" = "DE" => country: Option<Region>,
        /// By this channel.
        "channel" = "sms" => channel: Option<Channel>,
        /// By this gateway.
        "gateway" = "Http" => gateway: Option<GatewayName>,
        /// With this status of the message, its report or its verification.
        "status" = "receipt:failed" => status: Option<StatusFilter>,
        /// With this error code of the provider.
        "error" = "30003" => error: Option<Whole<0, { u32::MAX }>>,
        /// To numbers with this ending.
        "ending" = "71" => ending: Option<NumberEnding>,
        /// Of this verification.
        "verification" = "VE0123456789abcdef0123456789abcdef" => verification: Option<VerificationSid>,
        /// With this id of the provider's.
        "message" = "SM5ef8732a3c49700934481addd5ce1659" => message: Option<Text<100>>,
    }
}

/// Statuses to choose from, and their words.
const STATUSES: [(&str, &str); 10] = [
    ("send:sent", "taken by the gateway"),
    ("send:gateway_error", "refused, or no answer"),
    ("send:unsendable", "not sendable"),
    ("receipt:delivered", "delivered"),
    ("receipt:failed", "not delivered"),
    ("verify:new", "no code checked"),
    ("verify:success", "verified"),
    ("verify:invalid_code", "wrong code"),
    ("verify:expired", "code too late"),
    ("verify:gateway_error", "code not compared"),
];

#[derive(Template)]
#[template(path = "messages.html")]
struct MessagesPage {
    frame: Frame,
    header: PageHeader,
    list: List,
    /// Each with the path of its number.
    rows: Vec<(String, Row)>,
    pager: Pager,
    currency: String,
    /// Whether the session may export whole numbers.
    exports_numbers: bool,
}

/// One attempt of one gateway.
struct Row {
    at: Timestamp,
    number: PhoneNumber,
    service: String,
    country: Option<Region>,
    channel: &'static str,
    gateway: &'static str,
    status: &'static str,
    /// What became of the code.
    checked: &'static str,
    error: String,
    /// Estimated, in millionths of the currency; only of a message that was taken.
    price: Option<u64>,
    verification: Sid,
    message: String,
}

impl Row {
    fn new(request: &AdminRequest<'_>, attempt: SealedAttempt) -> Self {
        let SealedAttempt { verification, listed, .. } = attempt;
        let ListedAttempt { number, attempt, .. } = &listed;
        let country = number.region();
        let is_paid = attempt.status == SendStatus::Sent && attempt.gateway != GatewayName::Simulator;
        let checked = match listed.verify_status {
            VerifyStatus::New => "",
            VerifyStatus::Success => "verified",
            VerifyStatus::InvalidCode => "wrong code",
            VerifyStatus::Expired => "code too late",
            VerifyStatus::GatewayError => "code not compared",
        };
        Self {
            at: attempt.at,
            number: *number,
            service: request.v2.registry.named_by_id(listed.id.key.service).1,
            country,
            channel: attempt.channel.as_str(),
            gateway: attempt.gateway.as_str(),
            status: message_status(&listed),
            checked,
            error: attempt.error_code.map(|code| code.to_string()).unwrap_or_default(),
            price: is_paid.then(|| request.admin.history.price(country, attempt.channel)),
            verification,
            message: attempt.message_id.clone().unwrap_or_default(),
        }
    }

    fn class(&self) -> &'static str {
        match self.status {
            "failed" => "problem",
            status if status == ReceiptStatus::Delivered.as_str() => "good",
            _ => "",
        }
    }

    fn cells(self, shows_numbers: bool) -> [String; 12] {
        let number = if shows_numbers { self.number.e164() } else { self.number.to_string() };
        [
            self.at.rfc3339_millis().to_string(),
            number,
            self.service,
            self.country.map(|country| country.to_string()).unwrap_or_default(),
            self.channel.to_owned(),
            self.gateway.to_owned(),
            self.status.to_owned(),
            self.checked.to_owned(),
            self.error,
            self.price
                .map(|micros| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000))
                .unwrap_or_default(),
            self.verification.to_string(),
            self.message,
        ]
    }
}

/// `GET /admin/messages`.
pub async fn page(request: &AdminRequest<'_>) -> Result<Response, Refusal> {
    let (mut list, filters) = List::read::<Filters>(request, PATH.to_owned());
    let found = match filters {
        Some(filters) => read(request, &mut list, filters).await?,
        None => None,
    };
    let (mut attempts, stopped) = found.map_or_else(Default::default, |found| (found.records, found.stopped));
    let has_more = attempts.len() > list.limit();
    attempts.truncate(list.limit());
    let rows = attempts.into_iter().map(|attempt| Row::new(request, attempt));
    // The account's own credentials are those of the owner of the data.
    let exports_numbers = request.caller.key().is_none();
    if list.is_csv && list.problem.is_none() {
        let shows_numbers = exports_numbers && request.query("numbers").as_deref() == Some("whole");
        if shows_numbers {
            info!(request_id = request.request_id, "whole numbers exported from the dashboard");
        }
        let columns = [
            "time",
            "number",
            "service",
            "country",
            "channel",
            "gateway",
            "status",
            "code",
            "error",
            "price",
            "verification",
            "message",
        ];
        let disposition = "attachment; filename=\"messages.csv\"";
        return Ok(list::csv(disposition, columns, rows.map(|row| row.cells(shows_numbers))));
    }
    let rows: Vec<_> = rows.map(|row| (request.path_of(row.number), row)).collect();
    list.times();
    list.choice("service", "Service", request.services());
    list.text("country", "Country");
    list.choice("channel", "Channel", Channel::ALL.map(|channel| (channel.as_str(), channel.as_str())));
    list.choice(
        "gateway",
        "Gateway",
        GatewayName::known().map(|gateway| (gateway.as_str(), gateway.as_str())),
    );
    list.choice("status", "Status", STATUSES);
    list.text("error", "Error code");
    list.text("ending", "Number ends with");
    for (name, label) in [("verification", "Verification"), ("message", "Message id")] {
        if !list.given(name).is_empty() {
            list.text(name, label);
        }
    }
    let (pager, currency) = (list.pager(has_more, stopped), request.admin.history.currency().to_owned());
    let is_wrong = list.problem.is_some();
    let page = |frame, header| MessagesPage { frame, header, list, rows, pager, currency, exports_numbers };
    Ok(list::with_status(is_wrong, request.render(PATH, page)))
}

async fn read(
    request: &AdminRequest<'_>,
    list: &mut List,
    filters: Filters,
) -> Result<Option<LogPart<SealedAttempt>>, Refusal> {
    let Ok(service) = list.service(request, filters.service) else { return Ok(None) };
    let wanted = AttemptQuery {
        services: service.map(|service| vec![service.id]),
        after: filters.since,
        before: Some(list.until(filters.until)),
        country: filters.country,
        channel: filters.channel,
        gateway: filters.gateway,
        status: filters.status,
        error: filters.error,
        ending: filters.ending,
        verification: filters.verification,
        message: filters.message,
        read: Some(list::READ),
        skip: list.skip(),
        limit: list.limit() + 1,
        ..AttemptQuery::default()
    };
    request.admin.verifying.messages(wanted).await.map(Some)
}

/// `POST /admin/messages`: leads to what the words are about: the page of a number, or the messages with an id or to
/// numbers with an ending. No address has a whole number.
pub async fn search(
    request: &AdminRequest<'_>,
    form: &Form,
    region: Option<Region>,
) -> Result<Response, Refusal> {
    let words = form.field("q").unwrap_or_default();
    let ending = words.rsplit_once('*').map_or(words.as_str(), |(_, ending)| ending);
    let is_ending = (1..=4).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_digit());
    let (name, value) = if is_ending {
        ("ending", ending.to_owned())
    } else if let Some(sid) = Sid::parse(SidKind::Verification, &words) {
        ("verification", sid.to_string())
    } else if let Some(sid) = Sid::parse(SidKind::Attempt, &words) {
        match request.v2.verifications.attempt(sid).await {
            Ok(attempt) => ("verification", attempt.verification.to_string()),
            Err(Refused::Unavailable(refusal)) => return Err(refusal),
            Err(_) => return Ok(not_found(request, "No message has this id.")),
        }
    } else if let Ok(number) = PhoneNumber::parse(&words, region)
        .or_else(|_| PhoneNumber::parse(&format!("+{}", words.as_str()), None))
    {
        return Ok(redirect(&request.path_of(number)));
    } else if words.len() >= 8 && words.bytes().all(|byte| byte.is_ascii_graphic()) && !words.starts_with('+')
    {
        ("message", words.to_string())
    } else {
        return Ok(not_found(request, "This is no number, no ending of one and no id."));
    };
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair(name, &value).finish();
    Ok(redirect(&format!("{PATH}?{query}")))
}

fn not_found(request: &AdminRequest<'_>, why: &str) -> Response {
    request.redirect_with_notice(PATH, Notice::failure(why.to_owned()))
}
