//! The table of all routes. Routing, the `Allow` header, who may use a route, its name in logs, and its description in
//! `/openapi.json` and `/docs` come from here.

use std::future::ready;

use utoipa::ToSchema;

use super::admin::{self, AdminPage};
use super::compatible;
use super::local;
use super::openapi;
use super::pages::home;
use super::pages::inbox::Inbox;
use super::response::{Envelope, ErrorFormat, Message};
use super::route::{Access, ApiGroup, Content, Endpoint, Handler, Route, Success, Verb, schema};
use super::server::CallbackKind;
use super::service;
use super::v2::account::{SafeNumberView, TemplateView, TestNumberView};
use super::v2::attempts::{AttemptView, SummaryView};
use super::v2::audit::AuditEntryView;
use super::v2::limits::{BucketView, RateLimitView};
use super::v2::lockouts::{ErasureView, LockoutView};
use super::v2::params::Parameters as _;
use super::v2::services::{MessagingConfigurationView, ServiceView};
use super::v2::verifications::{CheckView, VerificationView};
use super::v2::webhooks::WebhookView;
use super::v2::{
    Request, account, attempts, audit, guard, limits, lockouts, services, verifications, webhooks,
};
use crate::guard::operator::{AllowanceView, DecisionView, EntryView, Explanation};
use crate::metrics::TextFormat;
use crate::registry::Scope;
use crate::webhook::DeliveryView;

/// The groups of routes, in the order in which a reader wants them.
pub static GROUPS: [&ApiGroup; 15] = [
    &VERIFICATIONS,
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
];

/// Routes that Twilio serves and this server does not, with their names. `..` stands for further segments, or none.
pub const NOT_SERVED: [(&str, &str); 5] = [
    ("/v2/Services/{ServiceSid}/Entities/..", "Entities, Factors and Challenges"),
    ("/v2/Services/{ServiceSid}/AccessTokens", "AccessTokens"),
    ("/v2/Services/{ServiceSid}/AccessTokens/{Sid}", "AccessTokens"),
    ("/v2/Services/{ServiceSid}/Passkeys/..", "Passkeys"),
    ("/v2/Forms/{FormType}", "Forms"),
];

/// Routes: method, path, the name for generated clients, the purpose; behind `=>` what answers it, the answer to a good
/// request, and what else there is to say, by the names of [`Route`]'s fields.
macro_rules! routes {
    ($($verb:ident $path:expr, $id:expr, $summary:expr => $handler:expr, $success:expr $(, $field:ident: $value:expr)*;)*) => {
        &[$(Route { $($field: $value,)* ..Route::new(Verb::$verb, $path, ($id, $summary), $handler, $success) }),*]
    };
}

/// A handler below `/v2`: a function of the request, and the type of the parameters that it reads.
macro_rules! v2 {
    (async $function:path) => { v2!(async $function, ()) };
    (async $function:path, $params:ty) => {
        v2!(request, $params, async move { $function(&Request::<$params>::of(request)).await })
    };
    ($request:ident, $params:ty, $answer:expr) => {
        Endpoint(Handler::V2(|$request| Box::pin($answer)), <$params>::describe)
    };
    ($function:path) => { v2!($function, ()) };
    ($function:path, $params:ty) => {
        v2!(request, $params, ready($function(&Request::<$params>::of(request))))
    };
}

/// A handler without parameters.
const fn plain(handler: Handler) -> Endpoint {
    Endpoint(handler, Vec::new)
}

/// The five routes of a resource below a service: make, list, fetch, change, delete.
macro_rules! resource {
    (
        $path:literal $segment:literal, $name:literal, $what:literal, $plural:literal, $view:ty, $key:literal,
        $list:path, $create:path, $fetch:path, $update:path, $delete:path, $new:ty, $changed:ty, $about:literal
    ) => {
        routes! {
            Post $path, concat!("Create", $name), concat!("Create a ", $what) =>
                v2!(async $create, $new), made::<$view>(), about: $about, others: &[404, 409];
            Get $path, concat!("List", $name), concat!("List ", $plural) =>
                v2!($list), list::<$view>($key), others: &[404];
            Get concat!($path, $segment), concat!("Fetch", $name), concat!("Fetch a ", $what) =>
                v2!($fetch), one::<$view>(), others: &[404];
            Post concat!($path, $segment), concat!("Update", $name), concat!("Update a ", $what) =>
                v2!(async $update, $changed), one::<$view>(), others: &[404, 409];
            Delete concat!($path, $segment), concat!("Delete", $name), concat!("Delete a ", $what) =>
                v2!(async $delete), GONE, others: &[404, 409];
        }
    };
}

const fn ok(content: Content) -> Success {
    Success { status: 200, about: "The resource.", content }
}

const fn one<T: ToSchema>() -> Success {
    ok(Content::Json(schema::<T>, None))
}

const fn list<T: ToSchema>(key: &'static str) -> Success {
    Success { status: 200, about: "A page of the list.", content: Content::List(schema::<T>, key, None) }
}

const fn list_with<T: ToSchema, U: ToSchema>(key: &'static str, further: &'static str) -> Success {
    let content = Content::List(schema::<T>, key, Some((further, schema::<U>)));
    Success { content, ..list::<T>(key) }
}

const fn made<T: ToSchema>() -> Success {
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
const HTML: Success = ok(Content::Text("text/html; charset=utf-8"));
const SHOWN_BY_PAGE: Success =
    Success { status: 303, about: "Done. The start page shows the result.", content: Content::Nothing };
const SIGNED_IN: Success = Success {
    status: 303,
    about: "Signed in. The answer sets the cookie of the session.",
    content: Content::Nothing,
};
const SEEN_BY_PAGE: Success = Success {
    status: 303,
    about: "Done. A page of the dashboard shows the result.",
    content: Content::Nothing,
};
const XML: Success = ok(Content::Text("text/xml; charset=utf-8"));

/// Routes that speak as Twilio's do.
const fn twilio(
    name: &'static str,
    about: &'static str,
    access: Access,
    routes: &'static [Route],
) -> ApiGroup {
    const BODIES: &[&str] = &["application/x-www-form-urlencoded", "application/json"];
    ApiGroup { name, about, access, errors: ErrorFormat::Twilio, bodies: BODIES, routes }
}

static VERIFICATIONS: ApiGroup = twilio(
    "Verifications",
    "Send codes, check them, and read the delivery of messages. API keys need the scope verify.",
    Access::Scope(Scope::Verify),
    routes! {
        Post "/v2/Services/{ServiceSid}/Verifications", "CreateVerification", "Send a code" =>
            v2!(async verifications::create, verifications::Begin), made::<VerificationView>(),
            about: "Begins a verification, or sends its code again. With the header Idempotency-Key a repetition of the \
                    request gets the same response for 24 hours.",
            headers: verifications::Headers::describe, others: &[404, 409, 422, 429, 502];
        Post "/v2/Services/{ServiceSid}/VerificationCheck", "CreateVerificationCheck", "Check a code" =>
            v2!(async verifications::check, verifications::Check), one::<CheckView>(),
            about: "A wrong code is no error: the response has the status pending. An expired or used verification is 404.",
            others: &[404, 409, 429, 502];
        Get "/v2/Services/{ServiceSid}/Verifications/{Sid}", "FetchVerification", "Fetch a verification" =>
            v2!(async verifications::fetch), one::<VerificationView>(), others: &[404, 429];
        Post "/v2/Services/{ServiceSid}/Verifications/{Sid}", "UpdateVerification", "End a verification" =>
            v2!(async verifications::update, verifications::End), one::<VerificationView>(),
            others: &[404, 429];
        Get "/v2/Attempts", "ListVerificationAttempt", "List attempts to deliver messages" =>
            v2!(async attempts::list, attempts::Filters), list::<AttemptView>("attempts"),
            about: "Newest first.";
        Get "/v2/Attempts/{Sid}", "FetchVerificationAttempt", "Fetch an attempt" =>
            v2!(async attempts::fetch), one::<AttemptView>(), others: &[404];
        Get "/v2/Attempts/Summary", "FetchVerificationAttemptsSummary", "Summarize attempts" =>
            v2!(async attempts::summary, attempts::SummaryFilters), one::<SummaryView>(), others: &[429];
    },
);

static LOCKOUTS: ApiGroup = twilio(
    "Lockouts",
    "Wrong codes in a row of a number, the end of its lockout, and the erasure of a number. Not in Twilio's API.",
    Access::Scope(Scope::Admin),
    routes! {
        Get "/v2/Services/{ServiceSid}/Lockouts/{To}", "FetchLockout", "Fetch the lockout of a number" =>
            v2!(async lockouts::fetch), one::<LockoutView>(),
            about: "404 without a wrong code or a lockout.", others: &[404];
        Delete "/v2/Services/{ServiceSid}/Lockouts/{To}", "DeleteLockout", "End the lockout of a number" =>
            v2!(async lockouts::delete), GONE,
            about: "Ends a lockout and a hard stop, clears the counts, and voids the number's code.",
            others: &[404, 429];
        Delete "/v2/Services/{ServiceSid}/Numbers/{To}", "DeleteNumber", "Erase a number" =>
            v2!(async lockouts::erase), one::<ErasureView>(),
            about: "Erases the verification, the counts, the attempts, the planned messages and the events about the \
                    number. A lockout that is in force stays until it ends. With the account's credentials or a key \
                    for all services the number also leaves the safe list. 200 for an unknown number too.",
            others: &[404, 429];
    },
);

static GUARD: ApiGroup = twilio(
    "Guard",
    "Allowances of the guard against SMS pumping, manual entries, and why it refuses messages. A key for one service sees \
     and changes that service. Not in Twilio's API.",
    Access::Scope(Scope::Admin),
    routes! {
        Get "/v2/Guard/Allowances", "ListGuardAllowance", "List low allowances" =>
            v2!(guard::list_allowances, guard::OfService), list::<AllowanceView>("allowances"),
            about: "Those with less than half of their messages, the smallest part first.", others: &[404, 429];
        Get "/v2/Guard/Explanations/{Subject}", "FetchGuardExplanation", "Explain what the guard does" =>
            v2!(async guard::explain, guard::OfService), one::<Explanation>(),
            about: "Without ServiceSid of the ten services that refuse it or have the least left.", others: &[404, 429];
        Get "/v2/Guard/Decisions", "ListGuardDecision", "List refusals and would-be refusals" =>
            v2!(async guard::list_decisions, guard::Filters), list::<DecisionView>("decisions"),
            about: "Newest first. A decision counts the messages of an hour that broke one rule with one effect for one subject.",
            others: &[404];
        Post "/v2/Guard/Entries", "CreateGuardEntry", "Allow, block or announce messages" =>
            v2!(async guard::create_entry, guard::NewEntry), made::<EntryView>(),
            about: "Replaces the entry of the same subject.",
            others: &[404, 409];
        Get "/v2/Guard/Entries", "ListGuardEntry", "List manual entries" =>
            v2!(guard::list_entries, guard::OfService), list::<EntryView>("entries"),
            about: "Those that end last first. Numbers are masked.", others: &[404];
        Delete "/v2/Guard/Entries/{Subject}", "DeleteGuardEntry", "Remove a manual entry" =>
            v2!(async guard::delete_entry, guard::OfService), GONE, others: &[404];
    },
);

static SERVICES: ApiGroup = twilio(
    "Services",
    "Namespaces with their own rules. API keys need the scope admin; only the account itself makes and deletes services.",
    Access::Scope(Scope::Admin),
    routes! {
        Post "/v2/Services", "CreateService", "Create a service" =>
            v2!(async services::create, services::New), made::<ServiceView>(),
            access: Some(Access::Account("making services"));
        Get "/v2/Services", "ListService", "List services" =>
            v2!(services::list), list::<ServiceView>("services"),
            about: "Newest first. A key for one service sees that service.";
        Get "/v2/Services/{Sid}", "FetchService", "Fetch a service" =>
            v2!(services::fetch), one::<ServiceView>(), others: &[404];
        Post "/v2/Services/{Sid}", "UpdateService", "Update a service" =>
            v2!(async services::update, services::Changed), one::<ServiceView>(),
            about: "Parameters that are absent keep their values. A service of the configuration cannot be updated here: 409.", others: &[404, 409];
        Delete "/v2/Services/{Sid}", "DeleteService", "Delete a service" =>
            v2!(async services::delete), GONE,
            about: "Deletes everything that belongs to the service, including keys for it alone.",
            access: Some(Access::Account("deleting services")), others: &[404, 409];
    },
);

static RATE_LIMITS: ApiGroup = twilio(
    "Rate limits",
    "Named limits: a request passes a value for one, and each of its buckets counts that value.",
    Access::Scope(Scope::Admin),
    resource! {
        "/v2/Services/{ServiceSid}/RateLimits" "/{Sid}", "RateLimit", "rate limit", "rate limits",
        RateLimitView, "rate_limits",
        limits::list, limits::create, limits::fetch, limits::update, limits::delete,
        limits::NewRateLimit, limits::ChangedRateLimit, "Without buckets it counts nothing yet."
    },
);

static BUCKETS: ApiGroup = twilio(
    "Buckets",
    "The number of requests with one value that are allowed within an interval.",
    Access::Scope(Scope::Admin),
    resource! {
        "/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets" "/{Sid}", "Bucket", "bucket", "buckets",
        BucketView, "buckets",
        limits::list_buckets, limits::create_bucket, limits::fetch_bucket, limits::update_bucket, limits::delete_bucket,
        limits::NewBucket, limits::ChangedBucket, "Counts from now on."
    },
);

static MESSAGING: ApiGroup = twilio(
    "Messaging configurations",
    "The gateway for each country.",
    Access::Scope(Scope::Admin),
    resource! {
        "/v2/Services/{ServiceSid}/MessagingConfigurations" "/{Country}", "MessagingConfiguration", "messaging configuration", "messaging configurations",
        MessagingConfigurationView, "messaging_configurations",
        services::list_messaging, services::create_messaging, services::fetch_messaging, services::update_messaging,
        services::delete_messaging, services::NewMessaging, services::ChangedMessaging, "One for each country."
    },
);

static WEBHOOKS: ApiGroup = twilio(
    "Webhooks",
    "Receivers of events, which are signed according to Standard Webhooks.",
    Access::Scope(Scope::Admin),
    resource! {
        "/v2/Services/{ServiceSid}/Webhooks" "/{Sid}", "Webhook", "webhook", "webhooks",
        WebhookView, "webhooks",
        webhooks::list, webhooks::create, webhooks::fetch, webhooks::update, webhooks::delete,
        webhooks::New, webhooks::Changed,
        "The response has one more field than Twilio's: the secret that signs events."
    },
);

static DELIVERIES: ApiGroup = twilio(
    "Deliveries",
    "The secret of a webhook, the delivery log of events, and their replay. Not in Twilio's API: its console does this.",
    Access::Scope(Scope::Admin),
    routes! {
        Get "/v2/Services/{ServiceSid}/Webhooks/{Sid}/Secret", "FetchWebhookSecret", "Fetch the secret of a webhook" =>
            v2!(webhooks::secret), one::<webhooks::WebhookSecretView>(),
            about: "Twilio's libraries drop the secret of the response that creates a webhook.", others: &[404];
        Get "/v2/Services/{ServiceSid}/Webhooks/{Sid}/Deliveries", "ListDelivery", "List deliveries of events to a webhook" =>
            v2!(async webhooks::deliveries, webhooks::DeliveryFilters), list_with::<DeliveryView, webhooks::DroppedView>("deliveries", "dropped_events"),
            about: "Newest event first.", others: &[404];
        Post "/v2/Services/{ServiceSid}/Webhooks/{Sid}/Replay", "CreateReplay", "Deliver events again" =>
            v2!(async webhooks::replay, webhooks::Replayed), one::<webhooks::ReplayView>(),
            about: "The events keep their ids and the order of their verification.",
            others: &[404, 429];
    },
);

static TEST_NUMBERS: ApiGroup = twilio(
    "Test numbers",
    "Numbers that receive no message and have a known code. Not in Twilio's API.",
    Access::Scope(Scope::Admin),
    routes! {
        Post "/v2/Services/{ServiceSid}/TestNumbers", "CreateTestNumber", "Create a test number" =>
            v2!(async account::create_test_number, account::TestNumber), made::<TestNumberView>(),
            about: "Replaces a test number with the same pattern. The server refuses a pattern that could match a real subscriber's number, unless Force is true.",
            others: &[404, 409];
        Get "/v2/Services/{ServiceSid}/TestNumbers", "ListTestNumber", "List test numbers" =>
            v2!(account::list_test_numbers), list::<TestNumberView>("test_numbers"), others: &[404];
        Delete "/v2/Services/{ServiceSid}/TestNumbers/{Pattern}", "DeleteTestNumber", "Delete a test number" =>
            v2!(async account::delete_test_number), GONE, others: &[404, 409];
    },
);

static ACCOUNT: ApiGroup = twilio(
    "Templates and the safe list",
    "Texts of messages, and numbers to which the pumping guard refuses no message. The safe list is for the account itself.",
    Access::Account("the safe list"),
    routes! {
        Get "/v2/Templates", "ListVerificationTemplate", "List templates" =>
            v2!(account::list_templates, account::TemplateFilters), list::<TemplateView>("templates"),
            about: "Templates are built in or come from the configuration.",
            access: Some(Access::AnyScope);
        Post "/v2/SafeList/Numbers", "CreateSafelist", "Add a number to the safe list" =>
            v2!(async account::create_safe_number, account::SafeNumber), made::<SafeNumberView>(),
            others: &[409];
        Get "/v2/SafeList/Numbers/{PhoneNumber}", "FetchSafelist", "Fetch a number of the safe list" =>
            v2!(account::fetch_safe_number), one::<SafeNumberView>(), others: &[404];
        Delete "/v2/SafeList/Numbers/{PhoneNumber}", "DeleteSafelist", "Remove a number from the safe list" =>
            v2!(async account::delete_safe_number), GONE, others: &[404];
    },
);

static AUDIT: ApiGroup = twilio(
    "Audit log",
    "Who changed services, keys, webhooks, the guard and numbers, and when. Not in Twilio's API.",
    Access::Scope(Scope::Admin),
    routes! {
        Get "/v2/Audit", "ListAuditEntry", "List changes" =>
            v2!(async audit::list, audit::Filters), list::<AuditEntryView>("entries"),
            about: "Newest first. A key for one service sees the changes of that service.";
    },
);

const ANSWERS: &str = "docs/reference/errors.md lists every response.";

static REDIS_VERSION: ApiGroup = ApiGroup {
    name: "Clients of the Redis version",
    about: "Codes of the service `default`, whose rules are the top-level settings.",
    access: Access::Compatible,
    errors: ErrorFormat::Envelope,
    bodies: &["application/json"],
    routes: routes! {
        Post "/api/send-otp", "SendOtp", "Send a code" =>
            Endpoint(Handler::SendOtp, compatible::describe_send), envelope("The provider accepted the message.", SENT),
            about: ANSWERS, others: &[429, 503];
        Post "/api/verify-otp", "VerifyOtp", "Check a code" =>
            Endpoint(Handler::VerifyOtp, compatible::describe_verify_otp), envelope("The code is right.", VERIFIED),
            about: ANSWERS, others: &[401, 429, 503];
    },
};

static TUTORIAL: ApiGroup = ApiGroup {
    name: "Clients of the tutorial",
    about: "The same with the tutorial's answers.",
    access: Access::Compatible,
    errors: ErrorFormat::Message,
    bodies: &["application/json"],
    routes: routes! {
        Post "/send-code", "SendCode", "Send a code" =>
            Endpoint(Handler::SendCode, compatible::describe_send), message("The provider accepted the message.", r#"{"message":"Message sent with id: SM5ef8732a3c49700934481addd5ce1659"}"#),
            about: ANSWERS, others: &[429, 502, 503];
        Post "/verify-code", "VerifyCode", "Check a code" =>
            Endpoint(Handler::VerifyCode, compatible::describe_verify_code), message("The code is right.", r#"{"message":"This is a valid match!"}"#),
            about: ANSWERS, others: &[429, 502, 503];
    },
};

/// The routes of the control socket, which no description has. Beside them it has all others.
pub static LOCAL: ApiGroup = twilio(
    "The control socket",
    "For the command line.",
    Access::Account("the control socket"),
    routes! {
        Get "/local/Server", "Server", "Say which server this is" => plain(Handler::Server), LOCAL_ANSWER;
        Get "/local/Services/{Name}", "FindService", "Find a service by a name" => v2!(local::service_id), LOCAL_ANSWER;
        Get "/local/Messages", "ListMessages", "List messages" => v2!(async local::messages), LOCAL_ANSWER;
        Get "/local/Messages/Totals", "CountMessages", "Count messages" => v2!(async local::totals), LOCAL_ANSWER;
        Get "/local/Numbers/{To}", "FetchNumber", "Show a number" => v2!(async local::status), LOCAL_ANSWER;
        Delete "/local/Numbers/{To}", "EraseNumber", "Erase a number" => v2!(async local::erase), LOCAL_ANSWER;
        Delete "/local/Numbers/{To}/Lockout", "UnlockNumber", "End a lockout" => v2!(async local::unlock), LOCAL_ANSWER;
        Get "/local/Guard", "ListGuardItems", "List what the guard does" => v2!(async local::guard), LOCAL_ANSWER;
        Get "/local/Webhooks", "ListAllWebhooks", "List webhooks" => v2!(local::webhooks), LOCAL_ANSWER;
        Get "/local/Keys", "ListKeys", "List API keys" => v2!(local::list_keys), LOCAL_ANSWER;
        Post "/local/Keys", "CreateKey", "Create an API key" => v2!(async local::create_key), LOCAL_ANSWER;
        Delete "/local/Keys/{Sid}", "RevokeKey", "Revoke an API key" => v2!(async local::revoke_key), LOCAL_ANSWER;
        Post "/local/AuthToken", "ReplaceToken", "Replace the auth token" => v2!(async local::replace_token), LOCAL_ANSWER;
        Get "/local/Copy", "Copy", "Copy every record" => v2!(local::copy), LOCAL_ANSWER;
    },
);

const LOCAL_ANSWER: Success = ok(Content::Nothing);

const CALLBACK: &str = "The server accepts only reports with Twilio's signature. The route does not exist if no gateway reports.";
const INBOX: &str = "Only in simulator mode, and only under an IP address, localhost or the configured host name. Where other \
     machines reach the server it requires the account's credentials or a key for all services with the scope admin.";

const METRICS: &str = "In Prometheus' text format, or in OpenMetrics if Accept names it. Needs the account's credentials or a \
     key for all services with the scope metrics or admin, unless it is read at the address metrics-listen.";

const TRY: &str = "A form of the start page, answered with a page. Only where every message goes to the simulator. It requires \
     the same credentials as the inbox, and for a key where the compatible routes do.";

const DASHBOARD: &str = "Needs the cookie of a session: without one a page leads to the sign-in, and a form gets 401. A form needs the \
     token of its session.";

const SIGN_IN: &str = "With the account's credentials, or a key for all services with the scope admin. Only over TLS or on loopback. \
     Failures are limited: 429.";

static SERVER: ApiGroup = ApiGroup {
    name: "The server",
    about: "Health, this description, reports of gateways, and the simulator's inbox.",
    access: Access::Open,
    errors: ErrorFormat::Envelope,
    bodies: &["application/x-www-form-urlencoded"],
    routes: routes! {
        Get "/", "Index", "List the routes" => plain(Handler::Index), envelope("The resource.", INDEX), others: &[503];
        Get "/healthz", "Healthz", "Check that the process runs" =>
            plain(Handler::Fixed(service::alive)), envelope("The process runs.", r#"{"code":200,"message":"alive"}"#);
        Get "/readyz", "Readyz", "Check that the server is ready" =>
            plain(Handler::Ready), envelope("The server can do its work.", READY), about: "503 lists the reasons why the server is not ready.", others: &[503];
        Get "/metrics", "Metrics", "Read the metrics" =>
            plain(Handler::Metrics), ok(Content::Text(TextFormat::Classic.content_type())), about: METRICS, others: &[401, 403, 503];
        Get "/openapi.json", "OpenApi", "Read this description" =>
            plain(Handler::Fixed(service::description)), ok(Content::Json(openapi::schema_of_itself, None));
        Get "/docs", "Docs", "Read this description as a page" => plain(Handler::Docs), HTML;
        Get "/hello-world", "HelloWorld", "Get a fixed greeting" =>
            plain(Handler::Fixed(service::hello_world)), envelope("The greeting.", r#"{"code":200,"message":"Successful Response","data":"Hello world"}"#), about: "For clients of the Redis version.";
        Get "/inbox", "Inbox", "Open the simulator's inbox" => plain(Handler::Inbox), HTML, about: INBOX, others: &[401, 403, 404, 503];
        Get "/inbox/messages", "InboxMessages", "Read the simulator's inbox" =>
            plain(Handler::Inbox), one::<Inbox>(),
            about: INBOX, params: service::describe_inbox, others: &[401, 403, 404, 503];
        Get "/admin", "Dashboard", "Open the dashboard" =>
            plain(Handler::Admin(AdminPage::Overview)), HTML, about: DASHBOARD, others: &[303, 403, 503];
        Get "/admin/events", "DashboardEvents", "Follow changes of the dashboard" =>
            plain(Handler::Admin(AdminPage::Events)), ok(Content::Text("text/event-stream")), about: DASHBOARD, others: &[401, 403, 503];
        Get "/admin/sign-in", "DashboardSignInPage", "Open the form that signs in to the dashboard" =>
            plain(Handler::Admin(AdminPage::SignIn)), HTML, others: &[403, 503];
        Post "/admin/sign-in", "DashboardSignIn", "Sign in to the dashboard" =>
            Endpoint(Handler::Admin(AdminPage::SignIn), admin::describe_sign_in), SIGNED_IN, about: SIGN_IN, others: &[401, 403, 429, 503];
        Post "/admin/sign-out", "DashboardSignOut", "Sign out of the dashboard" =>
            Endpoint(Handler::Admin(AdminPage::SignOut), admin::describe_token), SEEN_BY_PAGE, about: DASHBOARD, others: &[401, 403, 503];
        Post "/admin/lookup", "DashboardLookUp", "Look up a number in the dashboard" =>
            Endpoint(Handler::Admin(AdminPage::LookUp), admin::describe_look_up), SEEN_BY_PAGE, about: DASHBOARD, others: &[401, 403, 503];
        Get "/admin/numbers/{Id}", "DashboardNumber", "Open the page of a number in the dashboard" =>
            plain(Handler::Admin(AdminPage::Number)), HTML, about: DASHBOARD, others: &[303, 403, 503];
        Post "/admin/numbers/{Id}", "DashboardAct", "Unlock or erase a number, or cancel its verification" =>
            Endpoint(Handler::Admin(AdminPage::Number), admin::describe_action), SEEN_BY_PAGE, about: DASHBOARD, others: &[401, 403, 503];
        Get "/admin/guard", "DashboardGuard", "Open the page of the guard in the dashboard" =>
            plain(Handler::Admin(AdminPage::Guard)), HTML, about: DASHBOARD, others: &[303, 403, 503];
        Post "/admin/guard", "DashboardGuardEntry", "Allow, block or explain a subject of the guard" =>
            Endpoint(Handler::Admin(AdminPage::Guard), admin::describe_entry), SEEN_BY_PAGE, about: DASHBOARD, others: &[401, 403, 503];
        Get "/admin/audit", "DashboardAudit", "Open the audit log in the dashboard" =>
            plain(Handler::Admin(AdminPage::Audit)), HTML, about: DASHBOARD, others: &[303, 403, 503];
        Post "/try/send", "TrySend", "Send a code from the start page" =>
            Endpoint(Handler::TrySend, home::describe_send), SHOWN_BY_PAGE, about: TRY, others: &[401, 403, 404, 429, 502, 503];
        Post "/try/check", "TryCheck", "Check a code on the start page" =>
            Endpoint(Handler::TryCheck, home::describe_check), SHOWN_BY_PAGE, about: TRY, others: &[401, 403, 404, 429, 502, 503];
        Post CallbackKind::Message.path(), "TwilioMessage", "Report the delivery of a message" =>
            plain(Handler::Callback(CallbackKind::Message)), TAKEN, about: CALLBACK, others: &[404, 503];
        Post CallbackKind::Call.path(), "TwilioCall", "Report the end of a call" =>
            plain(Handler::Callback(CallbackKind::Call)), TAKEN, about: CALLBACK, others: &[404, 503];
        Post CallbackKind::Gate.path(), "TwilioGate", "Report a pressed key" =>
            plain(Handler::Callback(CallbackKind::Gate)), XML, about: CALLBACK, others: &[404, 503];
    },
};
