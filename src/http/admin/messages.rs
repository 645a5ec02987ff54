//! The list of messages: every attempt of every gateway, with filters in the address.

use tracing::info;

use super::prelude::*;
use crate::delivery::SendStatus;
use crate::delivery::attempts::{ListedAttempt, VerifyStatus};
use crate::http::api::attempts::message_status;
use crate::verification::{AttemptQuery, SealedAttempt};

const PATH: &str = "/admin/messages";

/// The filters of the list.
#[derive(Default, Deserialize, JsonSchema)]
pub struct Filters {
    /// Since, UTC
    pub since: Option<values::UtcTime>,
    /// Before, UTC
    pub until: Option<values::UtcTime>,
    /// Service
    pub service: Option<values::ServiceSid>,
    /// Country
    pub country: Option<values::Region>,
    /// Channel
    pub channel: Option<values::Channel>,
    /// Gateway
    pub gateway: Option<values::GatewayName>,
    /// Status
    pub status: Option<values::Status>,
    /// Error code
    pub error: Option<values::Whole<0, { u32::MAX - 1 }>>,
    /// Number ends with
    pub ending: Option<values::NumberEnding>,
    /// Verification
    pub verification: Option<values::VerificationSid>,
    /// Message id
    pub message: Option<values::Unchecked<100>>,
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
struct MessagesPage<'a> {
    request: &'a AdminRequest,
    list: &'a List,
    rows: Vec<SealedAttempt>,
    /// Whether the session may export whole numbers.
    exports_numbers: bool,
}

/// What became of the code.
pub const fn checked(listed: &ListedAttempt) -> &'static str {
    match listed.verify_status {
        VerifyStatus::New => "",
        VerifyStatus::Success => "verified",
        VerifyStatus::InvalidCode => "wrong code",
        VerifyStatus::Expired => "code too late",
        VerifyStatus::GatewayError => "code not compared",
    }
}

/// The class of its status in the style sheet.
pub fn class(listed: &ListedAttempt) -> &'static str {
    match message_status(listed) {
        "failed" => "problem",
        "delivered" => "good",
        _ => "",
    }
}

impl AdminRequest {
    /// The estimated price of a message that was taken, in millionths of the currency.
    fn price(&self, ListedAttempt { number, attempt, parts, .. }: &ListedAttempt) -> Option<u64> {
        let is_paid = attempt.status == SendStatus::Sent && attempt.gateway != GatewayName::Simulator;
        let price = || self.running.history.price(attempt.gateway, number.region(), attempt.channel);
        is_paid.then(|| price() * u64::from(*parts))
    }

    /// An attempt in the file.
    fn cells(
        &self,
        SealedAttempt { verification, listed, .. }: &SealedAttempt,
        is_whole: bool,
    ) -> [String; 13] {
        let ListedAttempt { number, attempt, .. } = listed;
        let price =
            self.price(listed).map(|micros| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
        [
            attempt.at.rfc3339_millis().to_string(),
            if is_whole { number.e164() } else { number.to_string() },
            self.running.registry.title_of(listed.id.key.service),
            number.region().map(|country| country.to_string()).unwrap_or_default(),
            attempt.channel.as_str().to_owned(),
            attempt.gateway.as_str().to_owned(),
            message_status(listed).to_owned(),
            checked(listed).to_owned(),
            attempt.error_code.map(|code| code.to_string()).unwrap_or_default(),
            listed.parts.to_string(),
            price.unwrap_or_default(),
            verification.to_string(),
            attempt.message_id.clone().unwrap_or_default(),
        ]
    }
}

/// The columns of the file.
const COLUMNS: &str =
    "time,number,service,country,channel,gateway,status,code,error,parts,price,verification,message";

/// `GET /admin/messages`.
pub async fn page(request: AdminRequest) -> PageResult {
    let (mut list, filters) = List::read::<Filters>(&request, PATH);
    list.has_file = true;
    let query = AttemptQuery {
        services: list.service(&request, filters.service).map(|service| vec![service.id]),
        after: filters.since.map(|since| since.0),
        before: list.until(filters.until.map(|until| until.0)),
        country: filters.country.map(|country| country.0),
        channel: filters.channel.map(|channel| channel.0),
        gateway: filters.gateway.map(|gateway| gateway.0),
        status: filters.status.map(|status| status.0),
        error: filters.error.map(|code| code.0),
        ending: filters.ending.map(|ending| ending.0),
        verification: filters.verification.map(|sid| sid.0),
        message: filters.message.map(|id| id.0),
        skip: list.skip(),
        limit: list.limit() + 1,
        ..AttemptQuery::default()
    };
    let rows = list.take(request.running.verifier.messages(query).await?);
    // The account's own credentials are those of the owner of the data.
    let exports_numbers = request.caller.key().is_none();
    if list.is_file() {
        let is_whole = exports_numbers && list.given("numbers") == "whole";
        if is_whole {
            info!(request_id = request.call.request_id(), "whole numbers exported from the dashboard");
        }
        let disposition = "attachment; filename=\"messages.csv\"";
        return Ok(list::csv(disposition, COLUMNS, rows.iter().map(|row| request.cells(row, is_whole))));
    }
    for field in &mut list.filters {
        if field.name == "status" {
            field.choose_from(
                STATUSES.map(|(status, words)| (status.to_owned(), words.to_owned())).into(),
                list::ALL,
            );
        }
    }
    // The search leads to these two.
    list.filters
        .retain(|field| !["verification", "message"].contains(&&*field.name) || !field.value.is_empty());
    Ok(list::html(&list, &MessagesPage { request: &request, list: &list, rows, exports_numbers }))
}
