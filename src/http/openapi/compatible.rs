//! The routes for clients of older servers.

use super::endpoint::Method::Post;
use super::endpoint::Type::{Pattern, Text, User, Words};
use super::endpoint::{Access, Content, Dialect, Endpoint, Param, Success, needed, optional};
use super::examples;
use super::twilio_parameters::LANGUAGE;

const BODIES: &[&str] = &["application/json"];

const fn ok(example: fn() -> String, schema: &'static str) -> Success {
    Success { status: 200, about: "It was done.", content: Content::Json(schema, example) }
}

const fn endpoint(
    path: &'static str,
    (id, summary): (&'static str, &'static str),
    in_body: &'static [Param],
    success: Success,
    others: &'static [u16],
) -> Endpoint {
    let about = "What each status says is in docs/errors.md.";
    Endpoint {
        method: Post,
        path,
        id,
        summary,
        about,
        in_path: &[],
        in_query: &[],
        in_header: &[],
        in_body,
        success,
        others,
    }
}

const NUMBER: Param = needed("phoneNumber", Text(40), "The number, in E.164 form.", "+14155552671");
const CHANNEL: Param =
    optional("channel", Words(&["sms", "call", "whatsapp"]), "How the code goes there.", "sms");
const LOCALE: Param = optional("locale", LANGUAGE, "The language of the message.", "de");
const APP_HASH: Param =
    optional("appHash", Pattern("^[A-Za-z0-9+/]{11}$"), "The hash of the Android app.", "FA+9qCX9VSu");
const CODE: Param = needed("code", Pattern(r"^[\s\S]+$"), "What was submitted.", "123456");

/// `/api/*`.
pub static REDIS_VERSION: Dialect = Dialect {
    name: "Clients of the Redis version",
    about: "Codes of the service `default`, whose rules are the top-level settings.",
    access: Access::MayNeedKey,
    error: "Envelope",
    bodies: BODIES,
    endpoints: &[
        endpoint(
            "/api/send-otp",
            ("SendOtp", "Send a code"),
            &[NUMBER, CHANNEL, LOCALE, APP_HASH],
            ok(examples::sent, "Envelope"),
            &[429, 503],
        ),
        endpoint(
            "/api/verify-otp",
            ("VerifyOtp", "Check a code"),
            &[needed("user", User, "Whose code it is.", "+14155552671"), CODE],
            ok(examples::verified, "Envelope"),
            &[401, 429, 503],
        ),
    ],
};

/// `/send-code` and `/verify-code`.
pub static TUTORIAL: Dialect = Dialect {
    name: "Clients of the tutorial",
    about: "The same with the tutorial's answers.",
    access: Access::MayNeedKey,
    error: "Message",
    bodies: BODIES,
    endpoints: &[
        endpoint(
            "/send-code",
            ("SendCode", "Send a code"),
            &[NUMBER, CHANNEL, LOCALE, APP_HASH],
            ok(examples::tutorial_sent, "Message"),
            &[429, 502, 503],
        ),
        endpoint(
            "/verify-code",
            ("VerifyCode", "Check a code"),
            &[NUMBER, Param { name: "smsCode", ..CODE }],
            ok(examples::tutorial_verified, "Message"),
            &[429, 502, 503],
        ),
    ],
};
