//! The schemas that answers name.

use utoipa::ToSchema;
use utoipa::openapi::{Components, ComponentsBuilder, RefOr, Schema};

use crate::http::v2::deliveries::ReplayView;
use crate::http::v2::page::Meta;
use crate::http::v2::view::{
    AttemptView, BucketView, CheckView, MessagingConfigurationView, RateLimitView, SafeNumberView,
    ServiceView, SummaryView, TemplateView, TestNumberView, VerificationView, WebhookView,
};

/// An error in Twilio's form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for its schema only: errors are written by the front end's Answer")]
struct TwilioError {
    /// Twilio's number of the error.
    #[schema(minimum = 20000)]
    code: u32,
    /// What happened.
    message: String,
    /// Where Twilio says more.
    #[schema(format = "uri")]
    more_info: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
}

/// The answer of most routes that are not Twilio's.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for its schema only: answers are written by the front end's Answer")]
struct Envelope {
    /// The HTTP status, unless the answers are as built.
    code: u16,
    /// What happened.
    message: String,
    /// More about it, often an object.
    #[schema(required = false)]
    data: serde_json::Value,
}

/// The answer of the tutorial's routes.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for its schema only: answers are written by the front end's Answer")]
struct Message {
    /// What happened.
    message: String,
}

/// A delivery of an event to a webhook.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for its schema only: the outbox writes it")]
struct Delivery {
    /// The account.
    #[schema(pattern = "^AC[0-9a-f]{32}$")]
    account_sid: String,
    /// The service.
    #[schema(pattern = "^VA[0-9a-f]{32}$")]
    service_sid: String,
    /// The webhook.
    #[schema(pattern = "^YW[0-9a-f]{32}$")]
    webhook_sid: String,
    /// The event's id, which receivers see as `webhook-id`.
    #[schema(pattern = "^evt_[0-9a-f]{32}$")]
    event_id: String,
    /// The event's name.
    event_type: String,
    /// The verification.
    #[schema(pattern = "^VE[0-9a-f]{32}$")]
    verification_sid: String,
    /// `pending`, `delivered` or `failed`.
    status: String,
    /// When the event happened.
    #[schema(format = DateTime)]
    date_created: String,
    /// When it is tried next; null when it is not.
    #[schema(required, format = DateTime)]
    next_attempt: Option<String>,
    /// The latest attempts, the oldest first.
    attempts: Vec<DeliveryAttempt>,
}

/// An attempt to deliver an event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for its schema only: the outbox writes it")]
struct DeliveryAttempt {
    /// When it began.
    #[schema(format = DateTime)]
    date: String,
    /// How long it took, in milliseconds.
    duration_ms: u64,
    /// The HTTP status that was answered.
    #[schema(required)]
    status_code: Option<u16>,
    /// Why there was no answer, or no attempt.
    #[schema(required)]
    error: Option<String>,
    /// The same in words.
    #[schema(required)]
    error_message: Option<String>,
}

/// An `OpenAPI` document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for its schema only")]
struct OpenApi {
    /// The version of the form.
    #[schema(pattern = "^3\\.1\\.")]
    openapi: String,
}

/// The simulator's inbox.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "for its schema only: the page's module writes it")]
struct Inbox {
    /// The newest first.
    messages: Vec<InboxMessage>,
    /// The server's time, in milliseconds since 1970.
    now_ms: u64,
}

/// A message of the simulator.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "for its schema only: the page's module writes it")]
struct InboxMessage {
    /// Its id.
    id: String,
    /// Whom it is for, in E.164 form.
    to: String,
    /// How it goes there.
    channel: String,
    /// What it says.
    text: String,
    /// The code in it.
    code: String,
    /// When it came, in milliseconds since 1970.
    received_at_ms: u64,
    /// When its code ends by itself.
    expires_at_ms: u64,
}

/// All of them, with those that they name.
pub fn components() -> Components {
    let mut schemas = Schemas::new();
    add::<VerificationView>(&mut schemas);
    add::<CheckView>(&mut schemas);
    add::<AttemptView>(&mut schemas);
    add::<SummaryView>(&mut schemas);
    add::<ServiceView>(&mut schemas);
    add::<RateLimitView>(&mut schemas);
    add::<BucketView>(&mut schemas);
    add::<MessagingConfigurationView>(&mut schemas);
    add::<WebhookView>(&mut schemas);
    add::<TemplateView>(&mut schemas);
    add::<SafeNumberView>(&mut schemas);
    add::<TestNumberView>(&mut schemas);
    add::<Delivery>(&mut schemas);
    add::<ReplayView>(&mut schemas);
    add::<Meta>(&mut schemas);
    add::<TwilioError>(&mut schemas);
    add::<Envelope>(&mut schemas);
    add::<Message>(&mut schemas);
    add::<OpenApi>(&mut schemas);
    add::<Inbox>(&mut schemas);
    ComponentsBuilder::new().schemas_from_iter(schemas).build()
}

type Schemas = Vec<(String, RefOr<Schema>)>;

fn add<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}
