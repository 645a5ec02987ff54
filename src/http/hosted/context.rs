//! What every page below `/verify` needs of its request.

use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{ACCEPT_LANGUAGE, HeaderValue, SET_COOKIE};
use url::Url;
use zeroize::Zeroizing;

use super::page::{Notice, Page, Texts, View};
use crate::domain::{Channel, Locale, Region, Timestamp};
use crate::http::call::{Call, Transport};
use crate::http::error::Error;
use crate::http::pages::of_cookie;
use crate::http::request;
use crate::node::Running;
use crate::registry::Service;
use crate::verification::hosted::{Denied, HostedSession, RECORD_LIFE, ReturnTarget, SessionSecret};

/// Longest field of a form.
const MAX_FIELD_BYTES: usize = 1_600;

#[derive(Clone)]
pub struct PageContext<'a> {
    pub call: &'a Call,
    pub running: &'a Running,
    pub transport: Transport,
    pub texts: &'static Texts,
    /// The countries that the form may preselect: that of the browser's language, the server's, and the one where most
    /// people have that language.
    pub regions: [Option<Region>; 3],
    /// What the last form led to.
    pub notice: Option<Notice>,
    pub now: Timestamp,
}

impl<'a> PageContext<'a> {
    pub fn of(call: &'a Call) -> Result<Self, Error> {
        let running = call.app.running()?;
        let (transport, texts) = (Transport::of(call), Texts::choose(languages(call)));
        let preferred = languages(call).next();
        let of_tag = preferred.and_then(Locale::country);
        let likely = preferred.unwrap_or(texts.locale).likely_region();
        let mut context = Self {
            call,
            running,
            transport,
            texts,
            regions: [of_tag, call.app.settings.storage.default_region, likely],
            notice: None,
            now: running.verifier.now(),
        };
        context.notice = of_cookie(call, &context.notice_name());
        Ok(context)
    }

    /// In the language of the session.
    pub fn for_session(&self, session: &HostedSession) -> Self {
        let texts = Texts::choose(session.request.locale.into_iter().chain(languages(self.call)));
        Self { texts, ..self.clone() }
    }

    /// The secret of the browser's session.
    pub fn cookie(&self) -> Option<SessionSecret> {
        request::cookie(&self.call.head.headers, self.cookie_name()).and_then(SessionSecret::parse)
    }

    /// The country of a number in national form.
    pub fn default_region(&self) -> Option<Region> {
        self.regions.into_iter().flatten().next()
    }

    /// A name with the prefix `__Host-` is kept only over TLS.
    pub const fn cookie_name(&self) -> &'static str {
        match self.transport {
            Transport::Encrypted => "__Host-onceward-verify",
            Transport::Loopback | Transport::Cleartext => "onceward-verify",
        }
    }

    pub fn notice_name(&self) -> String {
        format!("{}-notice", self.cookie_name())
    }

    /// Attributes of the cookies. In a frame of another site browsers keep only a partitioned cookie (CHIPS). On loopback
    /// every port is the same site.
    pub const fn cookie_attributes(&self, target: &ReturnTarget) -> &'static str {
        match self.transport {
            Transport::Encrypted if target.is_embedded => "Path=/; Secure; SameSite=None; Partitioned",
            Transport::Encrypted => "Path=/; Secure; SameSite=Lax",
            _ => "Path=/verify; SameSite=Lax",
        }
    }

    /// Sets a cookie; without a value, removes it.
    pub fn with_cookie(
        &self,
        mut response: Response,
        name: &str,
        value: Option<&str>,
        target: &ReturnTarget,
    ) -> Response {
        let (attributes, life) = (self.cookie_attributes(target), value.map_or(0, |_| RECORD_LIFE.as_secs()));
        let value = value.unwrap_or_default();
        let header = format!("{name}={value}; HttpOnly; {attributes}; Max-Age={life}");
        // Values are base64url.
        response.headers_mut().extend(HeaderValue::from_str(&header).ok().map(|header| (SET_COOKIE, header)));
        response
    }

    /// Whether the browser already has the session of this address.
    pub async fn has_session(&self, address: &SessionSecret) -> bool {
        match self.cookie().filter(|cookie| cookie.sid == address.sid) {
            Some(cookie) => self.running.hosted.find(&cookie, true).await.is_ok(),
            None => false,
        }
    }

    pub fn denied(&self, denied: Denied) -> Result<Response, Error> {
        match denied {
            Denied::Refused(refusal) => Err(refusal.into()),
            _ => Ok(self.gone()),
        }
    }

    pub fn gone(&self) -> Response {
        self.message(StatusCode::NOT_FOUND, self.texts.gone)
    }

    /// The page of a session whose time is over. It leads back, and the application learns why there is no code.
    pub fn over(&self, service: &Service, session: &HostedSession) -> Response {
        let back = return_url(&session.request.returns_to, ("error", "expired"));
        let view = View::Over { text: self.texts.gone, back };
        let page = Page::new(StatusCode::NOT_FOUND, self.texts, view);
        Page { of: Some((service, session)), ..page }.answer()
    }

    pub fn message(&self, status: StatusCode, text: &'static str) -> Response {
        Page::new(status, self.texts, View::Message { text }).answer()
    }

    /// The channels that a person may choose: names for forms, `auto` for the service's first one, and labels.
    pub fn buttons(&self, session: &HostedSession) -> Vec<(&'static str, &'static str)> {
        let (texts, chosen) = (self.texts, &session.request.channels);
        let name = |channel: Channel| {
            let label = if channel == Channel::Call { texts.call } else { channel.title() };
            (channel.as_str(), label)
        };
        let mut buttons: Vec<_> = chosen.iter().copied().map(name).collect();
        if chosen.is_empty() {
            buttons.push((AUTO, ""));
            buttons.extend(self.call.app.channels.contains(&Channel::Call).then(|| name(Channel::Call)));
        }
        if let Some((_, label)) = buttons.first_mut() {
            *label = if session.awaits_code { texts.again } else { texts.send };
        }
        buttons
    }
}

/// In a form: the first channel of the service.
const AUTO: &str = "auto";

/// The address of the application, with the code or why there is none; `None` for a page in a frame.
pub fn return_url(target: &ReturnTarget, (name, value): (&str, &str)) -> Option<String> {
    let ReturnTarget { is_embedded: false, address, state } = target else { return None };
    // The service's settings have only valid addresses.
    let mut url = Url::parse(address).ok()?;
    url.query_pairs_mut().append_pair(name, value).extend_pairs(state.iter().map(|state| ("state", state)));
    Some(url.into())
}

/// A field of a form or a query; empty if it is absent or longer than [`MAX_FIELD_BYTES`].
pub fn field(form: &[u8], name: &str) -> Zeroizing<String> {
    request::secret_field(form, name, MAX_FIELD_BYTES)
}

/// The languages of `Accept-Language`, the preferred one first (RFC 9110, 12.5.4).
fn languages(call: &Call) -> impl Iterator<Item = Locale> + use<> {
    let header = request::only(&call.head.headers, &ACCEPT_LANGUAGE).unwrap_or_default();
    let weighed = header.split(',').take(10).filter_map(|range| {
        let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
        let weight =
            weight.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.parse::<f32>().ok())?;
        Locale::parse(tag.trim()).map(|locale| (locale, weight)).filter(|_| weight > 0.0)
    });
    let mut weighed: Vec<_> = weighed.collect();
    weighed.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    weighed.into_iter().map(|(locale, _)| locale)
}
