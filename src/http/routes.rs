//! The table of all routes. Routing, the `Allow` header, who may use a route, its name in logs, and its description in
//! `/openapi.json` and `/docs` come from here.

use std::future::ready;

use schemars::JsonSchema;

use super::admin;
use super::compatible;
use super::hooks::{logto, okta, supabase, zitadel};
use super::hosted::{self, HostedStep};
use super::local;
use super::openapi;
use super::pages;
use super::pages::inbox::{self, Inbox};
use super::response::{Envelope, ErrorFormat, Message};
use super::route::Verb::{Delete, Get, Post};
use super::route::{Access, ApiGroup, Content, Handler, NONE, Route, Success, schema};
use super::server::CallbackKind;
use super::service;
use super::v2::params::Parameters as _;
use super::v2;
use super::v2::{
    account, attempts, audit, guard, limits, lockouts, lookup, messages, services, verifications, webhooks,
};
use crate::limits::guard::operator::{Explanation, Item};
use crate::observe::metrics::TextFormat;
use crate::registry::Scope;
use crate::webhook::DeliveryView;

/// The groups of routes, in the order in which a reader wants them.
pub static GROUPS: [&ApiGroup; 22] = [
    &VERIFICATIONS,
    &HOSTED,
    &CARRIED,
    &LOOKUP,
    &LOCKOUTS,
    &GUARD,
    &SERVICES,
    &RATE_LIMITS,
    &BUCKETS,
    &MESSAGING,
    &WEBHOOKS,
    &DELIVERIES,
    &TEST_NUMBERS,
    &ACCOUNT,
    &AUDIT,
    &REDIS_VERSION,
    &TUTORIAL,
    &SERVER,
    &INBOX,
    &CALLBACKS,
    &HOOKS,
    &PAGES,
];

/// Routes that Twilio serves and this server does not, with their names.
pub const NOT_SERVED: [(&str, &str); 7] = [
    ("/v2/Services/{ServiceSid}/Entities", ENTITIES),
    ("/v2/Services/{ServiceSid}/Entities/{*Path}", ENTITIES),
    ("/v2/Services/{ServiceSid}/AccessTokens", "AccessTokens"),
    ("/v2/Services/{ServiceSid}/AccessTokens/{Sid}", "AccessTokens"),
    ("/v2/Services/{ServiceSid}/Passkeys", "Passkeys"),
    ("/v2/Services/{ServiceSid}/Passkeys/{*Path}", "Passkeys"),
    ("/v2/Forms/{FormType}", "Forms"),
];

const ENTITIES: &str = "Entities, Factors and Challenges";

/// A handler below `/v2`: a function of the request and, if it reads parameters, of them.
macro_rules! v2 {
    ($function:path) => {
        Handler {
            answer: |call, found| Box::pin(v2::answer(call, found, |request| Box::pin($function(request)))),
            params: NONE,
        }
    };
    ($function:path, $params:ty) => {
        Handler {
            answer: |call, found| {
                Box::pin(v2::answer(call, found, |request| {
                    Box::pin(async { $function(request, <$params>::read(&request.fields)?).await })
                }))
            },
            params: <$params>::describe,
        }
    };
}

/// A page of the dashboard, or what a form of it does.
macro_rules! admin {
    (now $function:path) => {
        waits!(admin::answer, |request| Box::pin(ready(Ok($function(request)))))
    };
    ($function:path) => {
        waits!(admin::answer, |request| Box::pin($function(request)))
    };
}

/// A handler that answers at once.
macro_rules! now {
    ($function:path) => {
        Handler { answer: |call, _| Box::pin(ready(Ok($function(call)))), params: NONE }
    };
    (fallible $function:path) => {
        Handler { answer: |call, _| Box::pin(ready($function(call))), params: NONE }
    };
}

/// A handler that waits.
macro_rules! waits {
    ($function:path $(, $argument:expr)?) => {
        Handler { answer: |call, _| Box::pin($function(call $(, $argument)?)), params: NONE }
    };
}

const fn ok(content: Content) -> Success {
    Success { status: 200, about: "The resource.", content }
}

const fn one<T: JsonSchema>() -> Success {
    ok(Content::Json(schema::<T>, None))
}

const fn list<T: JsonSchema>(key: &'static str) -> Success {
    Success { status: 200, about: "A page of the list.", content: Content::List(schema::<T>, key, None) }
}

const fn list_with<T: JsonSchema, U: JsonSchema>(key: &'static str, further: &'static str) -> Success {
    let content = Content::List(schema::<T>, key, Some((further, schema::<U>)));
    Success { content, ..list::<T>(key) }
}

const fn made<T: JsonSchema>() -> Success {
    Success { status: 201, about: "Created.", content: Content::Json(schema::<T>, None) }
}

const fn envelope(about: &'static str, example: &'static str) -> Success {
    Success { status: 200, about, content: Content::Json(schema::<Envelope>, Some(example)) }
}

const fn message(about: &'static str, example: &'static str) -> Success {
    Success { status: 200, about, content: Content::Json(schema::<Message>, Some(example)) }
}

const SENT: &str = r#"{"code":200,"message":"OTP send successfully.","data":{"user":{"phoneNumber":"+14155552671"},"trials":5}}"#;
const VERIFIED: &str = r#"{"code":200,"message":"OTP verified successfully.","data":"+14155552671"}"#;
const INDEX: &str = r#"{"code":200,"message":"onceward: phone verification by one-time code","data":{"routes":["GET /","GET /docs"]}}"#;
const READY: &str = r#"{"code":200,"message":"ready","data":{"numbers":{"held":1200,"limit":2000000}}}"#;

const GONE: Success = Success { status: 204, about: "Deleted.", content: Content::Nothing };
const TAKEN: Success = Success { status: 204, about: "Accepted.", content: Content::Nothing };
const XML: Success = ok(Content::Text("text/xml; charset=utf-8"));

/// Routes that speak as Twilio's do.
const fn twilio(
    name: &'static str,
    about: &'static str,
    access: Access,
    routes: &'static [Route],
) -> ApiGroup {
    const BODIES: &[&str] = &["application/x-www-form-urlencoded", "application/json"];
    let group = ApiGroup::new((name, about), access, (ErrorFormat::Twilio, BODIES), routes);
    ApiGroup { is_listed: false, ..group }
}

/// Routes for clients of older servers.
const fn compatible(
    name: &'static str,
    about: &'static str,
    errors: ErrorFormat,
    routes: &'static [Route],
) -> ApiGroup {
    ApiGroup::new((name, about), Access::Compatible, (errors, &["application/json"]), routes)
}

/// Routes that check access themselves.
const fn open(name: &'static str, about: &'static str, routes: &'static [Route]) -> ApiGroup {
    const BODIES: &[&str] = &["application/x-www-form-urlencoded"];
    ApiGroup::new((name, about), Access::Open, (ErrorFormat::Envelope, BODIES), routes)
}

static VERIFICATIONS: ApiGroup = twilio(
    "Verifications",
    "Send codes, check them, and read the delivery of messages. API keys need the scope verify.",
    Access::Scope(Scope::Verify),
    &[
        Route::new(Post, "/v2/Services/{ServiceSid}/Verifications", ("CreateVerification", "Send a code"),
            v2!(verifications::create, verifications::Begin), made::<verifications::VerificationView>())
            .about("Begins a verification, or sends its code again. With the header Idempotency-Key a repetition of the \
                    request gets the same response for 24 hours.").headers(verifications::Headers::describe).others(&[404, 409, 422, 429, 502]),
        Route::new(Post, "/v2/Services/{ServiceSid}/VerificationCheck", ("CreateVerificationCheck", "Check a code"),
            v2!(verifications::check, verifications::Check), one::<verifications::CheckView>())
            .about("A wrong code is no error: the response has the status pending. An expired or used verification is 404.").others(&[404, 409, 429, 502]),
        Route::new(Get, "/v2/Services/{ServiceSid}/Verifications/{Sid}", ("FetchVerification", "Fetch a verification"),
            v2!(verifications::fetch), one::<verifications::VerificationView>()).others(&[404, 429]),
        Route::new(Post, "/v2/Services/{ServiceSid}/Verifications/{Sid}", ("UpdateVerification", "End a verification"),
            v2!(verifications::update, verifications::End), one::<verifications::VerificationView>()).others(&[404, 429]),
        Route::new(Get, "/v2/Attempts", ("ListVerificationAttempt", "List attempts to deliver messages"),
            v2!(attempts::list, attempts::Filters), list::<attempts::AttemptView>("attempts")).about("Newest first."),
        Route::new(Get, "/v2/Attempts/{Sid}", ("FetchVerificationAttempt", "Fetch an attempt"),
            v2!(attempts::fetch), one::<attempts::AttemptView>()).others(&[404]),
        Route::new(Get, "/v2/Attempts/Summary", ("FetchVerificationAttemptsSummary", "Summarize attempts"),
            v2!(attempts::summary, attempts::SummaryFilters), one::<attempts::SummaryView>()).others(&[429]).long(),
    ],
);

static HOSTED: ApiGroup = twilio(
    "Hosted sessions",
    "A page of this server on which a person verifies a number, and its result. API keys need the scope verify. Not in \
     Twilio's API.",
    Access::Scope(Scope::Verify),
    &[
        Route::new(Post, "/v2/Services/{ServiceSid}/HostedSessions", ("CreateHostedSession", "Create a hosted session"),
            v2!(v2::hosted::create, v2::hosted::NewSession), made::<v2::hosted::HostedSessionView>())
            .about("Lead the person to its url, which works once.").others(&[404]),
        Route::new(Post, "/v2/Services/{ServiceSid}/HostedSessions/{Sid}/Result", ("CreateHostedSessionResult", "Exchange the code for the result"),
            v2!(v2::hosted::result, v2::hosted::Redeemed), one::<v2::hosted::SessionResultView>())
            .about("Once, within 60 s after the person came back. Anything else is 404.").others(&[404]),
    ],
);

static CARRIED: ApiGroup = twilio(
    "Carried codes",
    "Messages with codes that another system makes and checks, and their outcomes. API keys need the scope messages. Not in \
     Twilio's API.",
    Access::Scope(Scope::Messages),
    &[
        Route::new(Post, "/v2/Services/{ServiceSid}/Messages", ("CreateMessage", "Carry a code of another system"),
            v2!(messages::create, messages::New), made::<messages::MessageView>())
            .about("One message, and no verification: nothing is checked here, and nothing is sent again later. While the code \
                    lives, a repetition for the same number and code sends nothing.").others(&[404, 409, 429, 502]),
        Route::new(Post, "/v2/Services/{ServiceSid}/Outcomes", ("CreateOutcome", "Report a verified number"),
            v2!(messages::outcome, messages::Outcome), one::<messages::OutcomeView>())
            .about("The pumping guard learns which messages led to a verified number.").others(&[404, 429]),
    ],
);

static LOOKUP: ApiGroup = twilio(
    "Lookup",
    "What the numbering plans tell about a number: its country, its format, whether it is valid, and the type of its line. \
     No network is asked. API keys need the scope verify.",
    Access::Scope(Scope::Verify),
    &[
        Route::new(Get, "/v2/PhoneNumbers/{PhoneNumber}", ("FetchPhoneNumber", "Look a number up"),
            v2!(lookup::fetch, lookup::Wanted), one::<lookup::LookupView>())
            .about("A number that is not valid is no error: valid is false, and validation_errors says why.").others(&[404]),
        Route::new(Get, "/v1/PhoneNumbers/{PhoneNumber}", ("FetchPhoneNumberV1", "Look a number up, as Lookup's first version"),
            v2!(lookup::fetch_older, lookup::OlderWanted), one::<lookup::OlderLookupView>())
            .about("A number that is not valid is 404.").others(&[404]),
    ],
);

static LOCKOUTS: ApiGroup = twilio(
    "Lockouts",
    "Wrong codes in a row of a number, the end of its lockout, and the erasure of a number. Not in Twilio's API.",
    Access::Scope(Scope::Admin),
    &[
        Route::new(Get, "/v2/Services/{ServiceSid}/Lockouts/{To}", ("FetchLockout", "Fetch the lockout of a number"),
            v2!(lockouts::fetch), one::<lockouts::LockoutView>())
            .about("404 without a wrong code or a lockout.").others(&[404]),
        Route::new(Delete, "/v2/Services/{ServiceSid}/Lockouts/{To}", ("DeleteLockout", "End the lockout of a number"),
            v2!(lockouts::delete), GONE)
            .about("Ends a lockout and a hard stop, clears the counts, and voids the number's code.").others(&[404, 429]),
        Route::new(Delete, "/v2/Services/{ServiceSid}/Numbers/{To}", ("DeleteNumber", "Erase a number"),
            v2!(lockouts::erase), one::<lockouts::ErasureView>())
            .about("Erases the verification, the counts, the attempts, the planned messages and the events about the \
                    number. A lockout that is in force stays until it ends. With the account's credentials or a key \
                    for all services the number also leaves the safe list. 200 for an unknown number too.").others(&[404, 429]),
    ],
);

static GUARD: ApiGroup = twilio(
    "Guard",
    "Allowances of the guard against SMS pumping, manual entries, and why it refuses messages. A key for one service sees \
     and changes that service. Not in Twilio's API.",
    Access::Scope(Scope::Admin),
    &[
        Route::new(Get, "/v2/Guard/Allowances", ("ListGuardAllowance", "List low allowances"),
            v2!(guard::list_allowances, guard::OfService), list::<Item>("allowances"))
            .about("Those with less than half of their messages, the smallest part first.").others(&[404, 429]),
        Route::new(Get, "/v2/Guard/Explanations/{Subject}", ("FetchGuardExplanation", "Explain what the guard does"),
            v2!(guard::explain, guard::OfService), one::<Explanation>())
            .long().about("Without ServiceSid of the ten services that refuse it or have the least left.").others(&[404, 429]),
        Route::new(Post, "/v2/Guard/Entries", ("CreateGuardEntry", "Allow or block messages"),
            v2!(guard::create_entry, guard::NewEntry), made::<Item>())
            .about("Replaces the entry of the same subject.").others(&[404, 409]),
        Route::new(Get, "/v2/Guard/Entries", ("ListGuardEntry", "List manual entries"),
            v2!(guard::list_entries, guard::OfService), list::<Item>("entries"))
            .about("Those that end last first. Numbers are masked.").others(&[404]),
        Route::new(Delete, "/v2/Guard/Entries/{Subject}", ("DeleteGuardEntry", "Remove a manual entry"),
            v2!(guard::delete_entry, guard::OfService), GONE).others(&[404]),
    ],
);

static SERVICES: ApiGroup = twilio(
    "Services",
    "Namespaces with their own rules. API keys need the scope admin; to create or delete a service, the key must be for all services.",
    Access::Scope(Scope::Admin),
    &[
        Route::new(Post, "/v2/Services", ("CreateService", "Create a service"),
            v2!(services::create, services::New), made::<services::ServiceView>()).access(Access::Account("creating services")),
        Route::new(Get, "/v2/Services", ("ListService", "List services"),
            v2!(services::list), list::<services::ServiceView>("services"))
            .about("Newest first. A key for one service sees that service."),
        Route::new(Get, "/v2/Services/{Sid}", ("FetchService", "Fetch a service"),
            v2!(services::fetch), one::<services::ServiceView>()).others(&[404]),
        Route::new(Post, "/v2/Services/{Sid}", ("UpdateService", "Update a service"),
            v2!(services::update, services::Changed), one::<services::ServiceView>())
            .about("Parameters that are absent keep their values. A service of the configuration cannot be updated here: 409.").others(&[404, 409]),
        Route::new(Delete, "/v2/Services/{Sid}", ("DeleteService", "Delete a service"),
            v2!(services::delete), GONE)
            .about("Deletes everything that belongs to the service, including keys for it alone.").access(Access::Account("deleting services")).others(&[404, 409]),
    ],
);

static RATE_LIMITS: ApiGroup = twilio(
    "Rate limits",
    "Named limits: a request passes a value for one, and each of its buckets counts that value.",
    Access::Scope(Scope::Admin),
    &[
        Route::new(Post, "/v2/Services/{ServiceSid}/RateLimits", ("CreateRateLimit", "Create a rate limit"),
            v2!(limits::create, limits::NewRateLimit), made::<limits::RateLimitView>())
            .about("Without buckets it counts nothing yet.").others(&[404, 409]),
        Route::new(Get, "/v2/Services/{ServiceSid}/RateLimits", ("ListRateLimit", "List rate limits"),
            v2!(limits::list), list::<limits::RateLimitView>("rate_limits")).others(&[404]),
        Route::new(Get, "/v2/Services/{ServiceSid}/RateLimits/{Sid}", ("FetchRateLimit", "Fetch a rate limit"),
            v2!(limits::fetch), one::<limits::RateLimitView>()).others(&[404]),
        Route::new(Post, "/v2/Services/{ServiceSid}/RateLimits/{Sid}", ("UpdateRateLimit", "Update a rate limit"),
            v2!(limits::update, limits::ChangedRateLimit), one::<limits::RateLimitView>()).others(&[404, 409]),
        Route::new(Delete, "/v2/Services/{ServiceSid}/RateLimits/{Sid}", ("DeleteRateLimit", "Delete a rate limit"),
            v2!(limits::delete), GONE).others(&[404, 409]),
    ],
);

static BUCKETS: ApiGroup = twilio(
    "Buckets",
    "The number of requests with one value that are allowed within an interval.",
    Access::Scope(Scope::Admin),
    &[
        Route::new(Post, "/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets", ("CreateBucket", "Create a bucket"),
            v2!(limits::create_bucket, limits::NewBucket), made::<limits::BucketView>())
            .about("Counts from now on.").others(&[404, 409]),
        Route::new(Get, "/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets", ("ListBucket", "List buckets"),
            v2!(limits::list_buckets), list::<limits::BucketView>("buckets")).others(&[404]),
        Route::new(Get, "/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", ("FetchBucket", "Fetch a bucket"),
            v2!(limits::fetch_bucket), one::<limits::BucketView>()).others(&[404]),
        Route::new(Post, "/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", ("UpdateBucket", "Update a bucket"),
            v2!(limits::update_bucket, limits::ChangedBucket), one::<limits::BucketView>()).others(&[404, 409]),
        Route::new(Delete, "/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", ("DeleteBucket", "Delete a bucket"),
            v2!(limits::delete_bucket), GONE).others(&[404, 409]),
    ],
);

static MESSAGING: ApiGroup = twilio(
    "Messaging configurations",
    "The gateway for each country.",
    Access::Scope(Scope::Admin),
    &[
        Route::new(Post, "/v2/Services/{ServiceSid}/MessagingConfigurations", ("CreateMessagingConfiguration", "Create a messaging configuration"),
            v2!(services::create_messaging, services::NewMessaging), made::<services::MessagingConfigurationView>())
            .about("One for each country.").others(&[404, 409]),
        Route::new(Get, "/v2/Services/{ServiceSid}/MessagingConfigurations", ("ListMessagingConfiguration", "List messaging configurations"),
            v2!(services::list_messaging), list::<services::MessagingConfigurationView>("messaging_configurations"))
            .others(&[404]),
        Route::new(Get, "/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}", ("FetchMessagingConfiguration", "Fetch a messaging configuration"),
            v2!(services::fetch_messaging), one::<services::MessagingConfigurationView>()).others(&[404]),
        Route::new(Post, "/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}", ("UpdateMessagingConfiguration", "Update a messaging configuration"),
            v2!(services::update_messaging, services::ChangedMessaging), one::<services::MessagingConfigurationView>())
            .others(&[404, 409]),
        Route::new(Delete, "/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}", ("DeleteMessagingConfiguration", "Delete a messaging configuration"),
            v2!(services::delete_messaging), GONE).others(&[404, 409]),
    ],
);

static WEBHOOKS: ApiGroup = twilio(
    "Webhooks",
    "Receivers of events, which are signed according to Standard Webhooks.",
    Access::Scope(Scope::Admin),
    &[
        Route::new(Post, "/v2/Services/{ServiceSid}/Webhooks", ("CreateWebhook", "Create a webhook"),
            v2!(webhooks::create, webhooks::New), made::<webhooks::WebhookView>())
            .about("The response has one more field than Twilio's: the secret that signs events.").others(&[404, 409]),
        Route::new(Get, "/v2/Services/{ServiceSid}/Webhooks", ("ListWebhook", "List webhooks"),
            v2!(webhooks::list), list::<webhooks::WebhookView>("webhooks")).others(&[404]),
        Route::new(Get, "/v2/Services/{ServiceSid}/Webhooks/{Sid}", ("FetchWebhook", "Fetch a webhook"),
            v2!(webhooks::fetch), one::<webhooks::WebhookView>()).others(&[404]),
        Route::new(Post, "/v2/Services/{ServiceSid}/Webhooks/{Sid}", ("UpdateWebhook", "Update a webhook"),
            v2!(webhooks::update, webhooks::Changed), one::<webhooks::WebhookView>()).others(&[404, 409]),
        Route::new(Delete, "/v2/Services/{ServiceSid}/Webhooks/{Sid}", ("DeleteWebhook", "Delete a webhook"),
            v2!(webhooks::delete), GONE).others(&[404, 409]),
    ],
);

static DELIVERIES: ApiGroup = twilio(
    "Deliveries",
    "The secret of a webhook, the delivery log of events, and their replay. Not in Twilio's API: its console does this.",
    Access::Scope(Scope::Admin),
    &[
        Route::new(Get, "/v2/Services/{ServiceSid}/Webhooks/{Sid}/Secret", ("FetchWebhookSecret", "Fetch the secret of a webhook"),
            v2!(webhooks::secret), one::<webhooks::WebhookSecretView>())
            .about("Twilio's libraries drop the secret of the response that creates a webhook.").others(&[404]),
        Route::new(Get, "/v2/Services/{ServiceSid}/Webhooks/{Sid}/Deliveries", ("ListDelivery", "List deliveries of events to a webhook"),
            v2!(webhooks::deliveries, webhooks::DeliveryFilters), list_with::<DeliveryView, webhooks::DroppedView>("deliveries", "dropped_events"))
            .about("Newest event first.").others(&[404]),
        Route::new(Post, "/v2/Services/{ServiceSid}/Webhooks/{Sid}/Replay", ("CreateReplay", "Deliver events again"),
            v2!(webhooks::replay, webhooks::Replayed), one::<webhooks::ReplayView>())
            .about("The events keep their ids and the order of their verification.").others(&[404, 429]),
    ],
);

static TEST_NUMBERS: ApiGroup = twilio(
    "Test numbers",
    "Numbers that receive no message and have a known code. Not in Twilio's API.",
    Access::Scope(Scope::Admin),
    &[
        Route::new(Post, "/v2/Services/{ServiceSid}/TestNumbers", ("CreateTestNumber", "Create a test number"),
            v2!(account::create_test_number, account::TestNumber), made::<account::TestNumberView>())
            .about("Replaces a test number with the same pattern. The server refuses a pattern that could match a real subscriber's number, unless Force is true.").others(&[404, 409]),
        Route::new(Get, "/v2/Services/{ServiceSid}/TestNumbers", ("ListTestNumber", "List test numbers"),
            v2!(account::list_test_numbers), list::<account::TestNumberView>("test_numbers")).others(&[404]),
        Route::new(Delete, "/v2/Services/{ServiceSid}/TestNumbers/{Pattern}", ("DeleteTestNumber", "Delete a test number"),
            v2!(account::delete_test_number), GONE).others(&[404, 409]),
    ],
);

static ACCOUNT: ApiGroup = twilio(
    "Templates and the safe list",
    "Texts of messages, and numbers to which the pumping guard refuses no message. The safe list is for the account itself.",
    Access::Account("the safe list"),
    &[
        Route::new(Get, "/v2/Templates", ("ListVerificationTemplate", "List templates"),
            v2!(account::list_templates, account::TemplateFilters), list::<account::TemplateView>("templates"))
            .about("Templates are built in or come from the configuration.").access(Access::AnyScope),
        Route::new(Post, "/v2/SafeList/Numbers", ("CreateSafelist", "Add a number to the safe list"),
            v2!(account::create_safe_number, account::SafeNumber), made::<account::SafeNumberView>()).others(&[409]),
        Route::new(Get, "/v2/SafeList/Numbers/{PhoneNumber}", ("FetchSafelist", "Fetch a number of the safe list"),
            v2!(account::fetch_safe_number), one::<account::SafeNumberView>()).others(&[404]),
        Route::new(Delete, "/v2/SafeList/Numbers/{PhoneNumber}", ("DeleteSafelist", "Remove a number from the safe list"),
            v2!(account::delete_safe_number), GONE).others(&[404]),
    ],
);

static AUDIT: ApiGroup = twilio(
    "Audit log",
    "Who changed services, keys, webhooks, the guard and numbers, and when. Not in Twilio's API.",
    Access::Scope(Scope::Admin),
    &[
        Route::new(Get, "/v2/Audit", ("ListAuditEntry", "List changes"),
            v2!(audit::list, audit::Filters), list::<audit::AuditEntryView>("entries"))
            .about("Newest first. A key for one service sees the changes of that service."),
    ],
);

const ANSWERS: &str = "docs/reference/errors.md lists every response.";

static REDIS_VERSION: ApiGroup = compatible(
    "Clients of the Redis version",
    "Codes of the service `default`, whose rules are the top-level settings.",
    ErrorFormat::Envelope,
    &[
        Route::new(Post, "/api/send-otp", ("SendOtp", "Send a code"),
            waits!(compatible::send_otp), envelope("The provider accepted the message.", SENT))
            .reads(compatible::describe_send).about(ANSWERS).others(&[429, 503]),
        Route::new(Post, "/api/verify-otp", ("VerifyOtp", "Check a code"),
            waits!(compatible::verify_otp), envelope("The code is right.", VERIFIED))
            .reads(compatible::describe_verify_otp).about(ANSWERS).others(&[401, 429, 503]),
    ],
);

static TUTORIAL: ApiGroup = compatible(
    "Clients of the tutorial",
    "The same with the tutorial's answers.",
    ErrorFormat::Message,
    &[
        Route::new(Post, "/send-code", ("SendCode", "Send a code"),
            waits!(compatible::send_code), message("The provider accepted the message.", r#"{"message":"Message sent with id: SM5ef8732a3c49700934481addd5ce1659"}"#))
            .reads(compatible::describe_send).about(ANSWERS).others(&[429, 502, 503]),
        Route::new(Post, "/verify-code", ("VerifyCode", "Check a code"),
            waits!(compatible::verify_code), message("The code is right.", r#"{"message":"This is a valid match!"}"#))
            .reads(compatible::describe_verify_code).about(ANSWERS).others(&[429, 502, 503]),
    ],
);

/// The routes of the control socket, which no description has. Beside them it has all others.
pub static LOCAL: ApiGroup = twilio(
    "The control socket",
    "For the command line.",
    Access::Account("the control socket"),
    &[
        Route::page(Get, "/local/Server", now!(local::server)),
        Route::page(Get, "/local/Services/{Name}", v2!(local::service_id)),
        Route::page(Get, "/local/Messages", v2!(local::messages)),
        Route::page(Get, "/local/Messages/Totals", v2!(local::totals)),
        Route::page(Post, "/local/Gateways/{Name}/Messages", v2!(local::try_gateway)),
        Route::page(Get, "/local/Numbers/{To}", v2!(local::status)),
        Route::page(Delete, "/local/Numbers/{To}", v2!(local::erase)),
        Route::page(Delete, "/local/Numbers/{To}/Lockout", v2!(local::unlock)),
        Route::page(Get, "/local/Guard", v2!(local::guard)),
        Route::page(Get, "/local/WithoutOutcomes", v2!(local::without_outcomes)),
        Route::page(Get, "/local/Webhooks", v2!(local::webhooks)),
        Route::page(Get, "/local/Keys", v2!(local::list_keys)),
        Route::page(Post, "/local/Keys", v2!(local::create_key)),
        Route::page(Delete, "/local/Keys/{Sid}", v2!(local::revoke_key)),
        Route::page(Post, "/local/AuthToken", v2!(local::replace_token)),
        Route::page(Get, "/local/Copy", v2!(local::copy)),
    ],
);

const METRICS: &str = "In Prometheus' text format, or in OpenMetrics if Accept names it. Needs the account's credentials or a \
     key for all services with the scope metrics or admin, unless it is read at the address metrics-listen.";

static SERVER: ApiGroup = ApiGroup {
    is_of_this_node: true,
    ..open(
        "The server",
        "Health, metrics and this description.",
        &[
            Route::new(Get, "/healthz", ("Healthz", "Check that the process runs"),
                now!(service::alive), envelope("The process runs.", r#"{"code":200,"message":"alive"}"#)),
            Route::new(Get, "/readyz", ("Readyz", "Check that the server is ready"),
                waits!(service::ready), envelope("The server can do its work.", READY))
                .about("503 lists the reasons why the server is not ready.").others(&[503]),
            Route::new(Get, "/metrics", ("Metrics", "Read the metrics"),
                waits!(service::metrics), ok(Content::Text(TextFormat::Classic.content_type())))
                .about(METRICS).others(&[401, 403, 503]),
            Route::new(Get, "/openapi.json", ("OpenApi", "Read this description"),
                now!(service::description), ok(Content::Json(openapi::schema_of_itself, None))),
            Route::new(Get, "/hello-world", ("HelloWorld", "Get a fixed greeting"),
                now!(service::hello_world), envelope("The greeting.", r#"{"code":200,"message":"Successful Response","data":"Hello world"}"#))
                .about("For clients of the Redis version."),
            Route::page(Get, "/docs", now!(pages::docs_page)),
        ],
    )
};

static INBOX: ApiGroup = ApiGroup {
    is_closed_to_pages: true,
    is_served: |deps| deps.inbox.is_some(),
    ..open(
        "The simulator",
        "Only in simulator mode, and only under an IP address, localhost or the configured host name. Where other machines \
         reach the server it requires the account's credentials or a key for all services with the scope admin.",
        &[
            Route::new(Get, "/inbox/messages", ("InboxMessages", "Read the simulator's inbox"),
                now!(fallible inbox::messages), one::<Inbox>())
                .reads(inbox::describe).others(&[400, 401, 403, 404, 503]),
            Route::page(Get, "/inbox", now!(fallible inbox::page)),
            Route::page(Post, "/inbox", waits!(inbox::act)),
            Route::page(Get, "/inbox/", now!(fallible inbox::page)),
            Route::page(Get, "/inbox/events", now!(fallible inbox::events)),
            Route::page(Get, "/inbox/{*Path}", now!(fallible inbox::unknown)),
        ],
    )
};

static CALLBACKS: ApiGroup = ApiGroup {
    is_closed_to_pages: true,
    is_served: |deps| deps.callbacks.is_some(),
    ..open(
        "Reports of gateways",
        "The server accepts only reports with the provider's signature, or with the key of an address that only the provider \
         was told. The routes do not exist if no gateway reports.",
        &[
            Route::new(Get, "/callbacks/gateways/{Name}", ("GatewayByGet", "Report a delivery in the query, or verify the address"),
                waits!(service::callback, None), ok(Content::Text("text/plain; charset=utf-8")))
                .about("A report gets 204, and a provider that verifies the address the text of hub.challenge.")
                .others(&[403, 404, 503]),
            Route::new(Post, "/callbacks/gateways/{Name}", ("Gateway", "Report the delivery of a message of a gateway with a recipe"),
                waits!(service::callback, None), TAKEN)
                .others(&[404, 503]),
            Route::new(Post, CallbackKind::Message.path(), ("TwilioMessage", "Report the delivery of a message"),
                waits!(service::callback, Some(CallbackKind::Message)), TAKEN)
                .others(&[404, 503]),
            Route::new(Post, CallbackKind::Call.path(), ("TwilioCall", "Report the end of a call"),
                waits!(service::callback, Some(CallbackKind::Call)), TAKEN)
                .others(&[404, 503]),
            Route::new(Post, CallbackKind::Gate.path(), ("TwilioGate", "Report a pressed key"),
                waits!(service::callback, Some(CallbackKind::Gate)), XML)
                .others(&[404, 503]),
        ],
    )
};

/// Not described: their bodies and answers are those of the systems.
static HOOKS: ApiGroup = ApiGroup {
    is_closed_to_pages: true,
    ..ApiGroup::new(
        ("Hooks of identity systems", "Each takes a code, or an outcome, in the form of its system: docs/guides/identity-systems.md."),
        Access::Open,
        (ErrorFormat::Envelope, &["application/json"]),
        &[
            Route::page(Post, "/hooks/supabase", waits!(supabase::send_sms)),
            Route::page(Post, "/hooks/logto", waits!(logto::send_sms)),
            Route::page(Post, "/hooks/logto/events", waits!(logto::event)),
            Route::page(Post, "/hooks/zitadel", waits!(zitadel::send_sms)),
            Route::page(Post, "/hooks/okta", waits!(okta::send)),
        ],
    )
};

static PAGES: ApiGroup = ApiGroup {
    is_closed_to_pages: true,
    ..open(
        "Pages",
        "The list of the routes. For a browser it is the start page.",
        &[
            Route::new(Get, "/", ("Index", "List the routes"),
                now!(service::index), envelope("The resource.", INDEX)).others(&[503]),
            Route::page(Get, "/verify", waits!(hosted::answer, HostedStep::Page)),
            Route::page(Get, "/verify.js", now!(hosted::widget)),
            Route::page(Get, "/verify/{Token}", waits!(hosted::answer, HostedStep::Address)),
            Route::page(Post, "/verify/{Token}", waits!(hosted::answer, HostedStep::Address)),
            Route::page(Post, "/verify/send", waits!(hosted::answer, HostedStep::Send)),
            Route::page(Post, "/verify/check", waits!(hosted::answer, HostedStep::Check)),
            Route::page(Post, "/verify/resend", waits!(hosted::answer, HostedStep::Send)),
            Route::page(Post, "/verify/change", waits!(hosted::answer, HostedStep::Change)),
            Route::page(Post, "/verify/cancel", waits!(hosted::answer, HostedStep::Cancel)),
            Route::page(Get, "/verify/demo", waits!(hosted::demo)),
            Route::page(Post, "/verify/demo", waits!(hosted::begin_demo)),
            Route::page(Get, "/admin/sign-in", now!(admin::sign_in_page)),
            Route::page(Post, "/admin/sign-in", waits!(admin::sign_in)),
            Route::page(Post, "/admin/sign-out", admin!(now admin::sign_out)),
            Route::page(Get, "/admin", admin!(admin::overview::page)),
            Route::page(Get, "/admin/events", admin!(now admin::events)),
            Route::page(Post, "/admin/lookup", admin!(now admin::number::look_up)),
            Route::page(Get, "/admin/numbers/{Id}", admin!(admin::number::page)),
            Route::page(Post, "/admin/numbers/{Id}", admin!(admin::number::act)),
            Route::page(Get, "/admin/guard", admin!(now admin::guard::page)),
            Route::page(Post, "/admin/guard", admin!(admin::guard::act)),
            Route::page(Get, "/admin/audit", admin!(admin::audit::page)),
            Route::page(Get, "/admin/messages", admin!(admin::messages::page)),
            Route::page(Post, "/admin/messages", admin!(admin::messages::search)),
            Route::page(Get, "/admin/webhooks", admin!(now admin::webhooks::page)),
            Route::page(Post, "/admin/webhooks", admin!(admin::webhooks::create)),
            Route::page(Get, "/admin/webhooks/{Sid}", admin!(admin::webhooks::one)),
            Route::page(Post, "/admin/webhooks/{Sid}", admin!(admin::webhooks::act)),
            Route::page(Get, "/admin/services", admin!(now admin::services::page)),
            Route::page(Post, "/admin/services", admin!(admin::services::create)),
            Route::page(Get, "/admin/services/{Sid}", admin!(now admin::services::one)),
            Route::page(Post, "/admin/services/{Sid}", admin!(admin::services::act)),
            Route::page(Get, "/admin/keys", admin!(now admin::keys::page)),
            Route::page(Post, "/admin/keys", admin!(admin::keys::act)),
        ],
    )
};
