//! What the page shows, and its content security policy.

use std::sync::LazyLock;

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::config::CaptchaSettings;
use crate::domain::{Locale, NumberError, PhoneNumber, Region, Timestamp, seconds_up};
use crate::registry::{Service, ServiceSettings};
use crate::verification::hosted::{HostedSession, ReturnTarget};

const STYLE: &str = include_str!("hosted.css");
const SCRIPT: &str = include_str!("hosted.js");

/// The error of the widget when the page cannot go on.
const ENDED: &str = "ended";

pub enum View {
    Number {
        /// Where the form goes: before a browser has the session, to its address.
        action: String,
        fixed: Option<String>,
        hint: String,
        region: Option<Region>,
        countries: Vec<(Region, i32)>,
    },
    Code {
        number: String,
        /// Seconds until the next message.
        wait: Option<u64>,
        may_resend: bool,
        may_change: bool,
    },
    Verified,
    /// Every check is used: the person can only go back.
    NoneLeft,
    /// The end of a session, and the address that leads on.
    Over {
        text: &'static str,
        back: Option<String>,
    },
    Message {
        text: &'static str,
    },
}

impl View {
    const fn may_cancel(&self) -> bool {
        matches!(self, Self::Number { .. } | Self::Code { .. })
    }

    /// What the step is about, for the title.
    fn step(&self, texts: &Texts) -> Option<&'static str> {
        match self {
            // The problem says all.
            Self::Number { .. } | Self::NoneLeft => None,
            Self::Code { .. } => Some(texts.code),
            Self::Verified => Some(texts.verified),
            Self::Over { text, .. } | Self::Message { text } => Some(text),
        }
    }
}

/// One page.
#[derive(Template)]
#[template(path = "hosted.html")]
pub struct Page<'a> {
    pub status: StatusCode,
    pub texts: &'a Texts,
    pub view: View,
    pub of: Option<(&'a Service, &'a HostedSession)>,
    /// A problem, and whether a field has to be filled in again.
    pub problem: Option<(String, bool)>,
    pub token: String,
    pub buttons: Vec<(&'static str, &'static str)>,
    /// The challenge that the next message needs.
    pub challenge: Option<&'a CaptchaSettings>,
    /// Attributes that the script reads.
    pub data: Vec<(&'static str, &'a str)>,
}

impl<'a> Page<'a> {
    pub fn new(status: StatusCode, texts: &'a Texts, view: View) -> Self {
        let (of, problem, challenge) = (None, None, None);
        let (token, buttons, data) = (String::new(), Vec::new(), Vec::new());
        Self { status, texts, view, of, problem, token, buttons, challenge, data }
    }

    pub fn answer(mut self) -> Response {
        const HEADERS: [(&str, &str); 2] =
            [("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin")];
        let target = self.of.map(|(_, session)| &session.request.returns_to);
        if let Some(ReturnTarget { is_embedded: true, address, .. }) = target {
            self.data.insert(0, ("origin", address));
        }
        if self.status != StatusCode::OK && matches!(self.view, View::Message { .. } | View::Over { .. }) {
            self.data.push(("error", ENDED));
        }
        self.challenge = self.challenge.filter(|_| self.view.may_cancel());
        // Every address in it was parsed.
        let policy = HeaderValue::from_str(&self.policy(target));
        let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
        // A template of texts does not fail.
        let html = self.render().unwrap_or_default();
        (self.status, HEADERS, [(CONTENT_SECURITY_POLICY, policy)], Html(html)).into_response()
    }

    /// The look of the service.
    fn look(&self) -> Option<&'a ServiceSettings> {
        self.of.map(|(service, _)| &service.settings)
    }

    fn digits(&self) -> u8 {
        self.look().map_or(6, |look| look.code_length.get())
    }

    fn style(&self) -> String {
        let accent = self.look().and_then(|look| look.accent_color.as_deref()).unwrap_or("#1d5688");
        let (on_accent, digits) = (text_color_on(accent), self.digits());
        format!("{STYLE}:root{{--accent:{accent};--on-accent:{on_accent};--digits:{digits}}}")
    }

    fn title(&self) -> String {
        let problem = self.problem.as_ref().map(|(words, _)| words.as_str());
        let parts = [problem, self.view.step(self.texts), Some(self.texts.title)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" – ")
    }

    fn is_invalid(&self) -> bool {
        self.problem.as_ref().is_some_and(|(_, is_invalid)| *is_invalid)
    }

    /// The content security policy. Only our own style and script run, and those of the challenge where there is one; forms
    /// post here and lead back to the application. The application may redirect further: browsers apply `form-action` to
    /// that too.
    fn policy(&self, target: Option<&ReturnTarget>) -> String {
        let form_action = match target {
            None | Some(ReturnTarget { is_embedded: true, .. }) => "",
            Some(target) if target.address.starts_with("http:") => " https: http:",
            Some(_) => " https:",
        };
        let (style, script) = (csp_hash(&self.style()), csp_hash(SCRIPT));
        let logo = self.look().and_then(|look| Url::parse(look.logo_url.as_deref()?).ok());
        let logo = logo.map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let from = self.challenge.map(|challenge| challenge.sources.as_str()).unwrap_or_default();
        let more = match from {
            "" => String::new(),
            from => format!("style-src-attr 'unsafe-inline'; frame-src {from}; connect-src {from}; "),
        };
        let framed_by = framed_by(&self.view, target);
        format!(
            "default-src 'none'; style-src {style} {from}; script-src {script} {from}; {more}img-src data: {logo}; \
             form-action 'self'{form_action}; base-uri 'none'; frame-ancestors {framed_by}"
        )
    }
}

/// A source expression for inline content (CSP Level 3, 2.3.1).
fn csp_hash(content: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(content.as_bytes())))
}

/// Every country with its calling code, by its two letters.
pub static COUNTRIES: LazyLock<Vec<(Region, i32)>> = LazyLock::new(|| {
    let letters = || b'A'..=b'Z';
    let codes = letters().flat_map(|first| letters().map(move |second| [first, second]));
    let codes = codes.filter_map(|code| Region::parse(std::str::from_utf8(&code).ok()?));
    codes.filter_map(|region| Some((region, region.calling_code()?))).collect()
});

/// The origin of pages that may show this one in a frame, for a content security policy.
fn framed_by<'a>(view: &View, target: Option<&'a ReturnTarget>) -> &'a str {
    match (view, target) {
        (_, Some(ReturnTarget { is_embedded: true, address, .. })) => address,
        // A message has no form and no secret, and without a session its origin is unknown.
        (View::Message { .. }, _) => "*",
        _ => "'none'",
    }
}

/// Black or white, whichever has more contrast on this color: at least 4.58 (WCAG 2.2, relative luminance).
fn text_color_on(color: &str) -> &'static str {
    let channel = |at: usize| {
        let value = color.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let value = f64::from(value.unwrap_or(0)) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
    let on_white = 1.05 / (luminance + 0.05);
    if on_white >= (luminance + 0.05) / 0.05 { "#fff" } else { "#000" }
}

// What the page says after a form: every form leads to the page again, and no address has a number.

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// This text is no number in this country, which the person chose.
    Number(String, Option<Region>),
    /// The number gets no message. A client that tries numbers out must not learn why.
    Refused,
    /// An allowance, a limit or a budget is used up: the number may get a message later.
    Later,
    /// No check is left for the number until then.
    Locked(Option<Timestamp>),
    /// The next message to the number has to wait.
    Wait,
    Wrong,
    /// What was typed is no code of this length.
    NoCode(u8),
    Failed,
}

impl Notice {
    /// Characters of a number that the form shows again.
    pub const LONGEST_NUMBER: usize = 40;

    /// Whether the field has to be filled in again.
    pub const fn is_about_the_field(&self) -> bool {
        matches!(self, Self::Number(..) | Self::Refused | Self::Wrong | Self::NoCode(_))
    }

    /// The words; `None` if they are not true any more. `next_send` is when the next message may go out.
    pub fn words(&self, texts: &Texts, next_send: Timestamp, now: Timestamp) -> Option<String> {
        let text = match self {
            Self::Number(text, region) => match PhoneNumber::parse_dialled(text, *region).err()? {
                NumberError::Unreadable(_) | NumberError::Impossible(..) => texts.bad_number,
                NumberError::Renumbered(change) => return Some(format!("{} ({change})", texts.bad_number)),
            },
            Self::Refused => texts.cannot_send,
            Self::Later => texts.try_later,
            Self::Locked(until) => return Some(locked(texts, *until, now)),
            Self::Wait => {
                return seconds_left(next_send, now).map(|left| texts.wait.replace("{}", &left.to_string()));
            }
            Self::Wrong => texts.wrong_code,
            Self::NoCode(digits) => return Some(texts.digits.replace("{}", &digits.to_string())),
            Self::Failed => texts.failed,
        };
        Some(text.to_owned())
    }
}

/// Whole seconds from now, rounded up; `None` afterwards.
pub fn seconds_left(until: Timestamp, now: Timestamp) -> Option<u64> {
    (now < until).then(|| seconds_up(until.since(now)))
}

/// The words where no check is left.
fn locked(texts: &Texts, until: Option<Timestamp>, now: Timestamp) -> String {
    match until.and_then(|until| seconds_left(until, now)) {
        Some(left) => texts.try_in.replace("{}", &left.div_ceil(60).to_string()),
        None => texts.none_left.to_owned(),
    }
}

// The texts of the hosted page, in each language of the standard message.

/// Declares the texts in the order in which a line of `languages.txt` has them.
macro_rules! texts {
    ($($name:ident)+) => {
        /// Texts in one language.
        pub struct Texts {
            pub tag: &'static str,
            pub locale: Locale,
            $(pub $name: &'static str,)+
        }

        impl Texts {
            fn read(line: &'static str) -> Option<Self> {
                let mut parts = line.split('|');
                let tag = parts.next()?;
                Some(Self { tag, locale: Locale::parse(tag)?, $($name: parts.next()?,)+ })
            }
        }
    };
}

texts! {
    title country number send code sent_to go_on change again wait call cancel bad_number cannot_send wrong_code none_left failed
    gone verified privacy terms cannot_return challenge try_later try_in last_sent digits
}

static ALL: LazyLock<Vec<Texts>> =
    LazyLock::new(|| include_str!("languages.txt").lines().filter_map(Texts::read).collect());

impl Texts {
    /// The nearest language to the first of these that has one, else English.
    pub fn choose(wanted: impl IntoIterator<Item = Locale>) -> &'static Self {
        let nearest =
            |locale: Locale| locale.lookup().find_map(|tag| ALL.iter().find(|texts| texts.locale == tag));
        let english = || ALL.iter().find(|texts| texts.locale == Locale::ENGLISH);
        #[expect(clippy::expect_used, reason = "a test finds English among them")]
        wanted.into_iter().find_map(nearest).or_else(english).expect("English")
    }

    /// The text [`Texts::sent_to`] before the number, the mark right behind it, and the rest.
    pub fn around_number(&self) -> (&'static str, &'static str, &'static str) {
        let (before, after) = self.sent_to.split_once("{}").unwrap_or((self.sent_to, ""));
        let (mark, rest) = after.split_at(after.find(' ').unwrap_or(after.len()));
        (before, mark, rest)
    }

    /// The direction of the script.
    pub fn direction(&self) -> &'static str {
        if matches!(self.tag, "ar" | "he") { "rtl" } else { "ltr" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::StandardMessage;

    #[test]
    fn text_on_the_accent_color_is_the_one_that_is_easier_to_read() {
        for (color, expected) in
            [("#000000", "#fff"), ("#ffffff", "#000"), ("#1d5688", "#fff"), ("#ffd400", "#000")]
        {
            assert_eq!(text_color_on(color), expected, "{color}");
        }
    }

    #[test]
    fn only_the_origin_of_an_embedded_session_may_frame_its_page() {
        let target = |is_embedded, address: &str| ReturnTarget {
            is_embedded,
            address: address.to_owned(),
            state: None,
        };
        let url = target(false, "https://app.example:8443/done?x=1");
        let embed = target(true, "https://app.example");
        let framed_by = |view| [None, Some(&url), Some(&embed)].map(|target| framed_by(&view, target));
        assert_eq!(framed_by(View::Verified), ["'none'", "'none'", "https://app.example"]);
        let message = framed_by(View::Message { text: "" });
        assert_eq!(message, ["*", "*", "https://app.example"], "without a form or a secret");
        let own = Page::new(StatusCode::OK, Texts::choose([]), View::Verified).policy(Some(&url));
        assert!(own.contains("form-action 'self' https:;"), "{own}");
        assert!(own.ends_with("frame-ancestors 'none'"), "{own}");
    }

    #[test]
    fn the_page_has_every_text_in_each_language_of_the_standard_message() {
        let languages: Vec<_> = ALL.iter().map(|texts| texts.locale).collect();
        let standard: Vec<_> = StandardMessage::all().iter().map(|message| message.locale).collect();
        assert_eq!(languages, standard);
        for line in include_str!("languages.txt").lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<_> = line.split('|').collect();
            assert_eq!(parts.len(), 28, "{line}");
            for (index, text) in parts.iter().enumerate() {
                assert!(!text.is_empty(), "{line}");
                assert_eq!(text.contains("{}"), matches!(index, 6 | 10 | 25 | 27), "{line} {text}");
            }
        }
    }

    #[test]
    fn the_first_language_that_the_page_has_is_chosen_and_english_without_one() {
        let chosen = |tags: &[&str]| Texts::choose(tags.iter().filter_map(|tag| Locale::parse(tag))).tag;
        assert_eq!([chosen(&["is", "de-AT"]), chosen(&["is"]), chosen(&[])], ["de", "en", "en"]);
    }
}
