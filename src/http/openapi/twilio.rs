//! The routes below `/v2`: Twilio Verify's API.

use super::endpoint::Method::{Delete, Get, Post};
use super::endpoint::{Access, Content, Dialect, Endpoint, Method, Param, Success};
use super::{examples, twilio_parameters as params};
use crate::http::v2::Kind;

const BODIES: &[&str] = &["application/x-www-form-urlencoded", "application/json"];
/// No parameters.
pub const NOTHING: &[Param] = &[];

/// 200.
pub const fn ok(content: Content) -> Success {
    Success { status: 200, about: "Here it is.", content }
}

/// 201.
pub const fn made(content: Content) -> Success {
    Success { status: 201, about: "It was made.", content }
}

/// 204.
pub const GONE: Success = Success { status: 204, about: "It is gone.", content: Content::Nothing };

/// A route; `others` are statuses of its own.
pub const fn endpoint(
    method: Method,
    kind: Kind,
    (id, summary): (&'static str, &'static str),
    in_path: &'static [Param],
    success: Success,
    others: &'static [u16],
) -> Endpoint {
    Endpoint {
        method,
        path: kind.template(),
        id,
        summary,
        about: "",
        in_path,
        in_query: NOTHING,
        in_header: NOTHING,
        in_body: NOTHING,
        success,
        others,
    }
}

impl Endpoint {
    /// With what else is to be known.
    pub const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// With parameters of the query.
    pub const fn query(mut self, query: &'static [Param]) -> Self {
        self.in_query = query;
        self
    }

    /// With headers.
    pub const fn headers(mut self, headers: &'static [Param]) -> Self {
        self.in_header = headers;
        self
    }

    /// With parameters of the body.
    pub const fn body(mut self, body: &'static [Param]) -> Self {
        self.in_body = body;
        self
    }
}

/// A group of routes that speak as Twilio's do.
pub const fn dialect(name: &'static str, about: &'static str, endpoints: &'static [Endpoint]) -> Dialect {
    Dialect { name, about, access: Access::NeedsKey, error: "TwilioError", bodies: BODIES, endpoints }
}

/// Sending and checking codes, and what became of the messages. Keys need the scope verify.
pub static VERIFICATIONS: Dialect = dialect(
    "Verifications",
    "Send codes, check them, and see what became of the messages. API keys need the scope verify.",
    &[
        endpoint(
            Post,
            Kind::Verifications,
            ("CreateVerification", "Send a code"),
            &[params::OF_SERVICE],
            made(Content::Json("Verification", examples::verification)),
            &[404, 409, 422, 429, 502],
        )
        .about(
            "Begins a verification, or sends its code again. With the header Idempotency-Key a repetition of the same \
             request gets the same answer for 24 hours.",
        )
        .headers(params::IDEMPOTENCY)
        .body(params::BEGIN),
        endpoint(
            Post,
            Kind::VerificationCheck,
            ("CreateVerificationCheck", "Check a code"),
            &[params::OF_SERVICE],
            ok(Content::Json("VerificationCheck", examples::check)),
            &[404, 409, 429, 502],
        )
        .about("A wrong code is no error: its answer has the status pending. An expired or used one is 404.")
        .body(params::CHECK),
        endpoint(
            Get,
            Kind::Verification,
            ("FetchVerification", "See a verification"),
            &[params::OF_SERVICE, params::VERIFICATION],
            ok(Content::Json("Verification", examples::verification)),
            &[404, 429],
        ),
        endpoint(
            Post,
            Kind::Verification,
            ("UpdateVerification", "End a verification"),
            &[params::OF_SERVICE, params::VERIFICATION],
            ok(Content::Json("Verification", examples::verification)),
            &[404, 429],
        )
        .body(params::END),
        endpoint(
            Get,
            Kind::Attempts,
            ("ListVerificationAttempt", "List attempts to deliver messages"),
            NOTHING,
            ok(Content::List("Attempt", "attempts", examples::attempt)),
            &[400],
        )
        .about("The newest first.")
        .query(params::ATTEMPTS),
        endpoint(
            Get,
            Kind::Attempt,
            ("FetchVerificationAttempt", "See an attempt"),
            &[params::ATTEMPT],
            ok(Content::Json("Attempt", examples::attempt)),
            &[404],
        ),
        endpoint(
            Get,
            Kind::AttemptsSummary,
            ("FetchVerificationAttemptsSummary", "See how many attempts led to a verified number"),
            NOTHING,
            ok(Content::Json("AttemptsSummary", examples::summary)),
            &[400],
        )
        .query(params::SUMMARY),
    ],
);

/// Services.
pub static SERVICES: Dialect = dialect(
    "Services",
    "Namespaces with their own rules. API keys need the scope admin; only the account itself makes and deletes services.",
    &[
        endpoint(
            Post,
            Kind::Services,
            ("CreateService", "Make a service"),
            NOTHING,
            made(Content::Json("Service", examples::service)),
            &[],
        )
        .body(params::NEW_SERVICE),
        endpoint(
            Get,
            Kind::Services,
            ("ListService", "List services"),
            NOTHING,
            ok(Content::List("Service", "services", examples::service)),
            &[],
        )
        .about("The newest first; a key for one service sees that one.")
        .query(params::PAGING),
        endpoint(
            Get,
            Kind::Service,
            ("FetchService", "See a service"),
            &[params::SERVICE],
            ok(Content::Json("Service", examples::service)),
            &[404],
        ),
        endpoint(
            Post,
            Kind::Service,
            ("UpdateService", "Change a service"),
            &[params::SERVICE],
            ok(Content::Json("Service", examples::service)),
            &[404, 409],
        )
        .about("What is not given stays. Services of the configuration are changed there: 409.")
        .body(params::CHANGED_SERVICE),
        endpoint(
            Delete,
            Kind::Service,
            ("DeleteService", "Delete a service"),
            &[params::SERVICE],
            GONE,
            &[404, 409],
        )
        .about("With everything that belongs to it, keys for it alone included."),
    ],
);
