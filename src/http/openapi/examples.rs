//! Answers as the server really makes them, of invented things.

use serde::Serialize;

use crate::config::AnswerSet;
use crate::domain::{Channel, Locale, PhoneNumber, Region, ServiceId, Sid, SidKind, Timestamp};
use crate::http::compatible as answers;
use crate::http::response::Response;
use crate::http::service;
use crate::http::v2::view::{
    AttemptView, BucketView, CheckView, Frame, MessagingConfigurationView, RateLimitView, SafeNumberView,
    ServiceView, SummaryView, TemplateView, TestNumberView, VerificationView, WebhookView,
};
use crate::http::v2::webhooks::ReplayView;
use crate::numbers::{CheckOutcome, Reply, SendOutcome};
use crate::registry::{
    Bucket, MessagingConfiguration, Origin, RateLimit, Service, ServiceSettings, Template, TestNumber,
    Translation, Webhook, WebhookStatus,
};
use crate::verify::{Attempt, SendAttempt, Status, Summary, Verification};
use crate::webhook::{self, DeliveryView, EventId};

/// Where the examples' server is.
pub const SERVER: &str = "https://codes.example";

/// 30 July 2026, 20:00:00 UTC.
const THEN: Timestamp = Timestamp::from_millis(1_785_441_600_000);

/// Of every id.
const BYTES: [u8; 16] =
    [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

const fn sid(kind: SidKind) -> Sid {
    Sid::new(kind, BYTES)
}

/// A number of the range that is kept for fiction.
const NUMBER: PhoneNumber = match PhoneNumber::from_u64(14_155_552_671) {
    Some(number) => number,
    None => panic!("eleven digits are a number"),
};

/// With the fields in their order, which a `Value` would not keep.
fn viewed<V: Serialize>(view: impl FnOnce(&Frame<'_>) -> V) -> String {
    let base = format!("{SERVER}/v2");
    serde_json::to_string_pretty(&view(&Frame { base: &base, account: sid(SidKind::Account) }))
        .unwrap_or_default()
}

fn answered(answer: &Response) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn a_verification(status: Status) -> Verification {
    Verification {
        sid: sid(SidKind::Verification),
        service: ServiceId::DEFAULT,
        to: NUMBER,
        channel: Channel::Sms,
        status,
        created: THEN,
        updated: THEN,
        attempts: vec![SendAttempt { sid: sid(SidKind::Attempt), time: THEN, channel: Channel::Sms }],
    }
}

pub fn verification() -> String {
    viewed(|frame| VerificationView::new(frame, sid(SidKind::Service), &a_verification(Status::Pending)))
}

pub fn check() -> String {
    viewed(|frame| CheckView::new(frame, sid(SidKind::Service), &a_verification(Status::Approved)))
}

pub fn attempt() -> String {
    let attempt = Attempt {
        sid: sid(SidKind::Attempt),
        service: ServiceId::DEFAULT,
        verification: sid(SidKind::Verification),
        created: THEN,
        updated: THEN,
        converted: true,
        channel: Channel::Sms,
        to: NUMBER,
        country: Region::parse("US"),
        message_status: Some("delivered".to_owned()),
        error_code: None,
        code_length: Some(6),
        locale: Some("en".to_owned()),
    };
    viewed(|frame| AttemptView::new(frame, Some(sid(SidKind::Service)), &attempt))
}

pub fn summary() -> String {
    viewed(|frame| SummaryView::new(frame, Summary { total: 11, converted: 9 }))
}

pub fn service() -> String {
    let service = Service {
        id: ServiceId::DEFAULT,
        sid: sid(SidKind::Service),
        origin: Origin::Api,
        settings: ServiceSettings {
            friendly_name: "Owl Bank".to_owned(),
            do_not_share_warning: true,
            ..ServiceSettings::default()
        },
        rate_limits: Vec::new(),
        messaging: Vec::new(),
        webhooks: Vec::new(),
        test_numbers: Vec::new(),
        created: THEN,
        updated: THEN,
    };
    viewed(|frame| ServiceView::new(frame, &service))
}

pub fn rate_limit() -> String {
    let limit = RateLimit {
        sid: sid(SidKind::RateLimit),
        unique_name: "session".to_owned(),
        description: Some("one for each session".to_owned()),
        buckets: Vec::new(),
        created: THEN,
        updated: THEN,
    };
    viewed(|frame| RateLimitView::new(frame, sid(SidKind::Service), &limit))
}

pub fn bucket() -> String {
    let bucket = Bucket { sid: sid(SidKind::Bucket), max: 5, interval: 60, created: THEN, updated: THEN };
    viewed(|frame| BucketView::new(frame, sid(SidKind::Service), sid(SidKind::RateLimit), &bucket))
}

pub fn messaging() -> String {
    let configuration = MessagingConfiguration {
        country: "DE".to_owned(),
        messaging_service: sid(SidKind::MessagingService),
        created: THEN,
        updated: THEN,
    };
    viewed(|frame| MessagingConfigurationView::new(frame, sid(SidKind::Service), &configuration))
}

pub fn webhook() -> String {
    let webhook = Webhook {
        sid: sid(SidKind::Webhook),
        friendly_name: "billing".to_owned(),
        event_types: vec!["verification.approved".to_owned()],
        url: "https://shop.example/hooks".to_owned(),
        status: WebhookStatus::Enabled,
        secret: Vec::new(),
        created: THEN,
        updated: THEN,
    };
    viewed(|frame| WebhookView::new(frame, sid(SidKind::Service), &webhook))
}

pub fn delivery() -> String {
    let view = DeliveryView {
        account_sid: sid(SidKind::Account),
        service_sid: sid(SidKind::Service),
        webhook_sid: sid(SidKind::Webhook),
        event_id: EventId::new(BYTES),
        event_type: "verification.approved",
        verification_sid: sid(SidKind::Verification),
        status: webhook::DeliveryState::Delivered,
        date_created: THEN.into(),
        next_attempt: None,
        attempts: vec![webhook::AttemptView {
            date: THEN.into(),
            duration_ms: 42,
            status_code: Some(204),
            error: None,
            error_message: None,
        }],
    };
    viewed(|_| view)
}

pub fn replay() -> String {
    viewed(|_| ReplayView { replayed: 3 })
}

pub fn template() -> String {
    let Some(english) = Locale::parse("en") else { return String::new() };
    let template = Template {
        sid: sid(SidKind::Template),
        friendly_name: "login".to_owned(),
        channels: vec![Channel::Sms, Channel::Call],
        translations: vec![Translation { locale: english, text: "Your code is {{code}}.".to_owned() }],
        created: THEN,
        ..Template::default()
    };
    viewed(|frame| TemplateView::new(frame, &template))
}

pub fn safe_number() -> String {
    viewed(|frame| SafeNumberView::new(frame, sid(SidKind::SafeNumber), NUMBER))
}

pub fn test_number() -> String {
    let (pattern, code) = ("+1415555012x".to_owned(), "123456".to_owned());
    let number = TestNumber { pattern, code, expires: THEN, force: false };
    viewed(|frame| TestNumberView::new(frame, sid(SidKind::Service), &number))
}

fn sent_reply() -> Reply<SendOutcome> {
    let message_id = "SM5ef8732a3c49700934481addd5ce1659".to_owned();
    Reply::new(SendOutcome::Sent { attempts_left: 5, message_id, postponed: false }, THEN, None)
}

const APPROVED: Reply<CheckOutcome> = Reply::new(CheckOutcome::Approved, THEN, None);

pub fn sent() -> String {
    answered(&answers::api_send(AnswerSet::Documented, &sent_reply(), NUMBER))
}

pub fn verified() -> String {
    let lockout = std::time::Duration::ZERO;
    answered(&answers::api_check(AnswerSet::Documented, &APPROVED, NUMBER, lockout))
}

pub fn tutorial_sent() -> String {
    answered(&answers::tutorial_send(&sent_reply()))
}

pub fn tutorial_verified() -> String {
    answered(&answers::tutorial_check(&APPROVED))
}

pub fn index() -> String {
    r#"{"code":200,"message":"onceward: phone verification by one-time code","data":{"routes":["GET /","GET /docs"]}}"#
        .to_owned()
}

pub fn alive() -> String {
    answered(&service::alive())
}

pub fn ready() -> String {
    r#"{"code":200,"message":"ready","data":{"numbers":{"held":1200,"limit":2000000}}}"#.to_owned()
}

pub fn hello() -> String {
    answered(&service::hello_world())
}

pub fn description() -> String {
    r#"{"openapi":"3.1.0"}"#.to_owned()
}

pub fn inbox() -> String {
    r#"{
  "messages": [
    {
      "id": "SM5ef8732a3c49700934481addd5ce1659",
      "to": "+14155552671",
      "channel": "sms",
      "text": "OTP message is 123456",
      "code": "123456",
      "receivedAtMs": 1785441600000,
      "expiresAtMs": 1785441630000
    }
  ],
  "nowMs": 1785441601000
}"#
    .to_owned()
}

/// A page of a list with one thing.
pub fn list(path: &str, key: &str, thing: &str) -> String {
    let url = format!("{SERVER}{path}?PageSize=50&Page=0");
    let thing = thing.replace('\n', "\n    ");
    format!(
        r#"{{
  "{key}": [
    {thing}
  ],
  "meta": {{
    "page": 0,
    "page_size": 50,
    "first_page_url": "{url}",
    "previous_page_url": null,
    "url": "{url}",
    "next_page_url": null,
    "key": "{key}"
  }}
}}"#
    )
}
