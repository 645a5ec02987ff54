//! The routes below `/v2` for what belongs to a service or to the account.

use super::endpoint::Method::{Delete, Get, Post};
use super::endpoint::{Content, Dialect};
use super::twilio::{GONE, NOTHING, dialect, endpoint, made, ok};
use super::{examples, twilio_parameters as params};
use crate::http::v2::Kind;

/// A resource below a service that can be listed, made, seen, changed and deleted.
macro_rules! resource {
    ($list:expr, $one:expr, $name:literal, $what:literal, $schema:literal, $key:literal, $example:path,
     $above:expr, $path:expr, $new:expr, $changed:expr, $about:literal) => {
        &[
            endpoint(
                Post,
                $list,
                (concat!("Create", $name), concat!("Make a ", $what)),
                $above,
                made(Content::Json($schema, $example)),
                &[404, 409],
            )
            .about($about)
            .body($new),
            endpoint(
                Get,
                $list,
                (concat!("List", $name), concat!("List each ", $what)),
                $above,
                ok(Content::List($schema, $key, $example)),
                &[404],
            )
            .query(params::PAGING),
            endpoint(
                Get,
                $one,
                (concat!("Fetch", $name), concat!("See a ", $what)),
                $path,
                ok(Content::Json($schema, $example)),
                &[404],
            ),
            endpoint(
                Post,
                $one,
                (concat!("Update", $name), concat!("Change a ", $what)),
                $path,
                ok(Content::Json($schema, $example)),
                &[404, 409],
            )
            .body($changed),
            endpoint(
                Delete,
                $one,
                (concat!("Delete", $name), concat!("Delete a ", $what)),
                $path,
                GONE,
                &[404, 409],
            ),
        ]
    };
}

/// Limits that requests pass values for.
pub static RATE_LIMITS: Dialect = dialect(
    "Rate limits",
    "Named limits: a request passes a value for one, and each of its buckets counts that value.",
    resource!(
        Kind::RateLimits,
        Kind::RateLimit,
        "RateLimit",
        "rate limit",
        "RateLimit",
        "rate_limits",
        examples::rate_limit,
        &[params::OF_SERVICE],
        &[params::OF_SERVICE, params::RATE_LIMIT],
        params::NEW_RATE_LIMIT,
        params::CHANGED_RATE_LIMIT,
        "Without buckets it counts nothing yet."
    ),
);

/// What they count.
pub static BUCKETS: Dialect = dialect(
    "Buckets",
    "So many requests with one value in so many seconds.",
    resource!(
        Kind::Buckets,
        Kind::Bucket,
        "Bucket",
        "bucket",
        "Bucket",
        "buckets",
        examples::bucket,
        &[params::OF_SERVICE, params::OF_RATE_LIMIT],
        &[params::OF_SERVICE, params::OF_RATE_LIMIT, params::BUCKET],
        params::NEW_BUCKET,
        params::CHANGED_BUCKET,
        "Counts from now on."
    ),
);

/// Gateways of countries.
pub static MESSAGING: Dialect = dialect(
    "Messaging configurations",
    "Which gateway sends to which country.",
    resource!(
        Kind::MessagingConfigurations,
        Kind::MessagingConfiguration,
        "MessagingConfiguration",
        "messaging configuration",
        "MessagingConfiguration",
        "messaging_configurations",
        examples::messaging,
        &[params::OF_SERVICE],
        &[params::OF_SERVICE, params::COUNTRY],
        params::NEW_MESSAGING,
        params::CHANGED_MESSAGING,
        "One for each country."
    ),
);

/// Who is told of events.
pub static WEBHOOKS: Dialect = dialect(
    "Webhooks",
    "Who is told of events. They are signed as Standard Webhooks says.",
    resource!(
        Kind::Webhooks,
        Kind::Webhook,
        "Webhook",
        "webhook",
        "Webhook",
        "webhooks",
        examples::webhook,
        &[params::OF_SERVICE],
        &[params::OF_SERVICE, params::WEBHOOK],
        params::NEW_WEBHOOK,
        params::CHANGED_WEBHOOK,
        "The answer has one more field than Twilio's: the secret that events are signed with. It is shown this once."
    ),
);

/// What became of events.
pub static DELIVERIES: Dialect = dialect(
    "Deliveries",
    "What became of events, and once more. Not Twilio's: there its console does this.",
    &[
        endpoint(
            Get,
            Kind::Deliveries,
            ("ListDelivery", "List deliveries of events to a webhook"),
            &[params::OF_SERVICE, params::WEBHOOK],
            ok(Content::List("Delivery", "deliveries", examples::delivery)),
            &[404],
        )
        .about("The newest event first.")
        .query(params::DELIVERIES),
        endpoint(
            Post,
            Kind::Replay,
            ("CreateReplay", "Deliver events again"),
            &[params::OF_SERVICE, params::WEBHOOK],
            ok(Content::Json("Replay", examples::replay)),
            &[404, 429],
        )
        .about("With the same ids, from the first attempt on, in the order of each verification's events.")
        .body(params::REPLAY),
    ],
);

/// Numbers for tests.
pub static TEST_NUMBERS: Dialect = dialect(
    "Test numbers",
    "Numbers that are never sent anything, with a known code, outside all limits. Not Twilio's.",
    &[
        endpoint(
            Post,
            Kind::TestNumbers,
            ("CreateTestNumber", "Make a test number"),
            &[params::OF_SERVICE],
            made(Content::Json("TestNumber", examples::test_number)),
            &[404, 409],
        )
        .about("In place of one with the same pattern. One that could be somebody's number is refused, unless forced.")
        .body(params::NEW_TEST_NUMBER),
        endpoint(
            Get,
            Kind::TestNumbers,
            ("ListTestNumber", "List test numbers"),
            &[params::OF_SERVICE],
            ok(Content::List("TestNumber", "test_numbers", examples::test_number)),
            &[404],
        )
        .query(params::PAGING),
        endpoint(
            Delete,
            Kind::TestNumber,
            ("DeleteTestNumber", "Make a test number an ordinary one"),
            &[params::OF_SERVICE, params::TEST_NUMBER],
            GONE,
            &[404, 409],
        ),
    ],
);

/// What belongs to the account.
pub static ACCOUNT: Dialect = dialect(
    "Templates and the safe list",
    "Texts of messages, and numbers that are not suspected of anything. The safe list is for the account itself.",
    &[
        endpoint(
            Get,
            Kind::Templates,
            ("ListVerificationTemplate", "List templates"),
            NOTHING,
            ok(Content::List("Template", "templates", examples::template)),
            &[],
        )
        .about("They come from the configuration, but for some that are built in.")
        .query(params::TEMPLATES),
        endpoint(
            Post,
            Kind::SafeNumbers,
            ("CreateSafelist", "Put a number on the safe list"),
            NOTHING,
            made(Content::Json("SafeListNumber", examples::safe_number)),
            &[409],
        )
        .body(params::NEW_SAFE_NUMBER),
        endpoint(
            Get,
            Kind::SafeNumber,
            ("FetchSafelist", "See whether a number is on the safe list"),
            &[params::SAFE_NUMBER],
            ok(Content::Json("SafeListNumber", examples::safe_number)),
            &[404],
        ),
        endpoint(
            Delete,
            Kind::SafeNumber,
            ("DeleteSafelist", "Take a number off the safe list"),
            &[params::SAFE_NUMBER],
            GONE,
            &[404],
        ),
    ],
);
