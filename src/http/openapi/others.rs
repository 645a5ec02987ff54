//! The routes that are neither for sending nor for checking codes.

use super::endpoint::Method::{Get, Post};
use super::endpoint::Type::Text;
use super::endpoint::{Access, Content, Dialect, Endpoint, Method, Param, Success, optional};
use super::examples;

const fn endpoint(
    method: Method,
    path: &'static str,
    (id, summary, about): (&'static str, &'static str, &'static str),
    success: Success,
    others: &'static [u16],
) -> Endpoint {
    Endpoint {
        method,
        path,
        id,
        summary,
        about,
        in_path: &[],
        in_query: &[],
        in_header: &[],
        in_body: &[],
        success,
        others,
    }
}

const fn ok(content: Content) -> Success {
    Success { status: 200, about: "Here it is.", content }
}

const TAKEN: Success = Success { status: 204, about: "It was taken.", content: Content::Nothing };

const TO: Param = optional("to", Text(40), "Only messages to this number.", "+14155552671");

const CALLBACK: &str = "Only what carries Twilio's signature is taken. Not there when no gateway reports.";
const INBOX: &str =
    "Only in simulator mode, and only under an IP address, localhost or the configured host name.";

/// Health, documents, reports of gateways, the simulator's inbox.
pub static OTHERS: Dialect = Dialect {
    name: "The server",
    about: "Health, this description, what gateways report, and the simulator's inbox.",
    access: Access::Open,
    error: "Envelope",
    bodies: &["application/x-www-form-urlencoded"],
    endpoints: &[
        endpoint(
            Get,
            "/",
            ("Index", "See what is served", ""),
            ok(Content::Json("Envelope", examples::index)),
            &[],
        ),
        endpoint(
            Get,
            "/healthz",
            ("Healthz", "See whether the process lives", ""),
            ok(Content::Json("Envelope", examples::alive)),
            &[],
        ),
        endpoint(
            Get,
            "/readyz",
            ("Readyz", "See whether the server can do its work", "503 names the reasons why not."),
            ok(Content::Json("Envelope", examples::ready)),
            &[503],
        ),
        endpoint(
            Get,
            "/openapi.json",
            ("OpenApi", "Read this description", ""),
            ok(Content::Json("OpenApi", examples::description)),
            &[],
        ),
        endpoint(
            Get,
            "/docs",
            ("Docs", "Read this description as a page", ""),
            ok(Content::Text("text/html; charset=utf-8")),
            &[],
        ),
        endpoint(
            Get,
            "/hello-world",
            ("HelloWorld", "Be greeted", "For clients of the Redis version."),
            ok(Content::Json("Envelope", examples::hello)),
            &[],
        ),
        endpoint(
            Get,
            "/inbox",
            ("Inbox", "Open the simulator's inbox", INBOX),
            ok(Content::Text("text/html; charset=utf-8")),
            &[403, 404],
        ),
        Endpoint {
            in_query: &[TO],
            ..endpoint(
                Get,
                "/inbox/messages",
                ("InboxMessages", "Read the simulator's inbox", INBOX),
                ok(Content::Json("Inbox", examples::inbox)),
                &[403, 404],
            )
        },
        endpoint(
            Post,
            "/callbacks/twilio/message",
            ("TwilioMessage", "Report what became of a message", CALLBACK),
            TAKEN,
            &[404, 503],
        ),
        endpoint(
            Post,
            "/callbacks/twilio/call",
            ("TwilioCall", "Report what became of a call", CALLBACK),
            TAKEN,
            &[404, 503],
        ),
        endpoint(
            Post,
            "/callbacks/twilio/gate",
            ("TwilioGate", "Report a key that was pressed, or not", CALLBACK),
            ok(Content::Text("text/xml; charset=utf-8")),
            &[404, 503],
        ),
    ],
};
