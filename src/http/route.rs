//! Which endpoint a request is for.

use hyper::Method;

use super::answer::Shape;
use super::deps::CallbackKind;
use super::v2::Kind;

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/`
    Index,
    /// `/api/send-otp`
    SendOtp,
    /// `/api/verify-otp`
    VerifyOtp,
    /// `/hello-world`
    HelloWorld,
    /// `/send-code`
    SendCode,
    /// `/verify-code`
    VerifyCode,
    /// `/healthz`
    Healthz,
    /// `/readyz`
    Readyz,
    /// `/inbox` and what is below it
    Inbox,
    /// `/openapi.json`
    OpenApi,
    /// `/docs`
    Docs,
    /// Below `/v2/`
    V2(Kind),
    /// Below `/callbacks/twilio/`
    Callback(CallbackKind),
    /// Any other path
    Unknown,
}

impl Route {
    /// Reads a path. Paths are exact: no trailing slash, no other case.
    pub fn of(path: &str) -> Self {
        match path {
            "/" => Self::Index,
            "/api/send-otp" => Self::SendOtp,
            "/api/verify-otp" => Self::VerifyOtp,
            "/hello-world" => Self::HelloWorld,
            "/send-code" => Self::SendCode,
            "/verify-code" => Self::VerifyCode,
            "/healthz" => Self::Healthz,
            "/readyz" => Self::Readyz,
            "/callbacks/twilio/message" => Self::Callback(CallbackKind::Message),
            "/callbacks/twilio/call" => Self::Callback(CallbackKind::Call),
            "/callbacks/twilio/gate" => Self::Callback(CallbackKind::Gate),
            "/inbox" => Self::Inbox,
            "/openapi.json" => Self::OpenApi,
            "/docs" => Self::Docs,
            other if other.starts_with("/inbox/") => Self::Inbox,
            other if other.starts_with("/v2/") => Self::V2(Kind::of(other)),
            _ => Self::Unknown,
        }
    }

    /// The name for logs: never what the client sent, for a path can contain a number.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Index => "/",
            Self::SendOtp => "/api/send-otp",
            Self::VerifyOtp => "/api/verify-otp",
            Self::HelloWorld => "/hello-world",
            Self::SendCode => "/send-code",
            Self::VerifyCode => "/verify-code",
            Self::Healthz => "/healthz",
            Self::Readyz => "/readyz",
            Self::Inbox => "/inbox",
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
            Self::V2(kind) => kind.template(),
            Self::Callback(CallbackKind::Message) => "/callbacks/twilio/message",
            Self::Callback(CallbackKind::Call) => "/callbacks/twilio/call",
            Self::Callback(CallbackKind::Gate) => "/callbacks/twilio/gate",
            Self::Unknown => "unknown",
        }
    }

    /// The shape of this endpoint's errors: those of the tutorial's API are `{"message"}` in every
    /// case, so that its clients find what they look for in a 404, 413 or 503 too.
    pub const fn shape(self) -> Shape {
        match self {
            Self::SendCode | Self::VerifyCode => Shape::Message,
            Self::V2(_) => Shape::Twilio,
            Self::Index
            | Self::SendOtp
            | Self::VerifyOtp
            | Self::HelloWorld
            | Self::Healthz
            | Self::Readyz
            | Self::Inbox
            | Self::OpenApi
            | Self::Docs
            | Self::Callback(_)
            | Self::Unknown => Shape::Envelope,
        }
    }

    /// Whether it is one of the routes that send and check codes of the service `default`, whose clients were written
    /// for other servers.
    pub const fn is_compatible(self) -> bool {
        matches!(self, Self::SendOtp | Self::VerifyOtp | Self::SendCode | Self::VerifyCode)
    }

    /// The methods it answers, as the `Allow` header spells them; `None` when there is no such
    /// endpoint.
    pub const fn allow(self) -> Option<&'static str> {
        match self {
            Self::SendOtp | Self::VerifyOtp | Self::SendCode | Self::VerifyCode | Self::Callback(_) => {
                Some("POST")
            }
            Self::Index
            | Self::HelloWorld
            | Self::Healthz
            | Self::Readyz
            | Self::Inbox
            | Self::OpenApi
            | Self::Docs => Some("GET, HEAD"),
            Self::V2(kind) => kind.allow(),
            Self::Unknown => None,
        }
    }

    /// Whether it answers `method`. `OPTIONS` is not among them: a 2xx to a browser's preflight
    /// would suggest that other origins may call these routes.
    pub fn allows(self, method: &Method) -> bool {
        let mut named = self.allow().into_iter().flat_map(|allow| allow.split(", "));
        named.any(|name| name == method.as_str())
    }
}

/// The name of a method for logs: what a client made up is not repeated.
pub fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_contract_has_its_route() {
        for path in [
            "/",
            "/api/send-otp",
            "/api/verify-otp",
            "/hello-world",
            "/send-code",
            "/verify-code",
            "/healthz",
            "/readyz",
            "/inbox",
            "/openapi.json",
            "/docs",
            "/v2/Services/{ServiceSid}/VerificationCheck",
            "/callbacks/twilio/message",
            "/callbacks/twilio/call",
            "/callbacks/twilio/gate",
        ] {
            assert_eq!(Route::of(path).name(), path);
        }
        assert_eq!(Route::of("/v2/services"), Route::V2(Kind::Unknown));
        assert_eq!(Route::of("/inbox/messages"), Route::Inbox);
        assert_eq!(Route::of("/inbox/assets/inbox.css"), Route::Inbox);
    }

    #[test]
    fn a_path_that_only_looks_like_one_is_unknown() {
        for path in [
            "",
            "*",
            "//",
            "/api",
            "/api/send-otp/",
            "/API/send-otp",
            "/inboxes",
            "/docs/",
            "/v2",
            "/v3/Services",
            "/callbacks/twilio",
            "/callbacks/twilio/other",
            "/+14155552671",
        ] {
            assert_eq!(Route::of(path), Route::Unknown, "{path:?}");
        }
    }

    #[test]
    fn a_route_allows_exactly_the_methods_it_names() {
        let methods = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
        ];
        for route in [
            Route::SendOtp,
            Route::VerifyCode,
            Route::Callback(CallbackKind::Gate),
            Route::Index,
            Route::Inbox,
            Route::Readyz,
            Route::Docs,
            Route::V2(Kind::Service),
            Route::V2(Kind::Unknown),
            Route::Unknown,
        ] {
            let named: Vec<_> = route.allow().into_iter().flat_map(|allow| allow.split(", ")).collect();
            for method in &methods {
                assert_eq!(route.allows(method), named.contains(&method.as_str()), "{route:?} {method}");
            }
        }
    }

    #[test]
    fn a_method_that_a_client_made_up_is_not_logged() {
        let made_up = Method::from_bytes(b"X14155552671").expect("a method");
        assert_eq!(method_name(&made_up), "other");
        assert_eq!(method_name(&Method::POST), "POST");
    }
}
