//! What an answer, or none, means by HTTP's own rules: for gateways that say no more, and for what
//! comes from a proxy in front of them.

use super::answer_headers::retry_after;
use super::http_client::{Answer, NoAnswer};
use crate::domain::GatewayName;
use crate::gateway::{ErrorClass, GatewayError};

/// A class, and whether any other message would have fared the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Meaning {
    pub class: ErrorClass,
    pub whole_gateway: bool,
}

impl Meaning {
    /// Something that only this message met.
    pub(in crate::gateway) const fn of_this_message(class: ErrorClass) -> Self {
        Self { class, whole_gateway: false }
    }

    /// Something that every message would have met.
    pub(in crate::gateway) const fn of_the_gateway(class: ErrorClass) -> Self {
        Self { class, whole_gateway: true }
    }

    pub(in crate::gateway) fn error(
        self,
        gateway: GatewayName,
        code: Option<u32>,
        detail: String,
    ) -> GatewayError {
        let Self { class, whole_gateway } = self;
        GatewayError { gateway, class, code, detail, whole_gateway }
    }

    /// The same, with the wait that the provider asks for, if it is about waiting.
    pub(in crate::gateway) fn with_wait_of(self, answer: &Answer) -> Self {
        match self.class {
            ErrorClass::Retry { after } => {
                let after = retry_after(&answer.headers).or(after);
                Self { class: ErrorClass::Retry { after }, ..self }
            }
            _ => self,
        }
    }
}

/// What a provider's own error code means, and in words of ours, by a table in the order of the
/// codes; `None` for a code that is not in it.
pub(in crate::gateway) fn known_code(
    table: &[(u32, Meaning, &'static str)],
    code: u32,
) -> Option<(Meaning, &'static str)> {
    let place = table.binary_search_by_key(&code, |(known, ..)| *known).ok()?;
    table.get(place).map(|(_, meaning, words)| (*meaning, *words))
}

/// What a status means that is not the success of the API in question:
///
/// * 401, 402, 403: credentials, credit or permissions. A 403 is often about one country, so that
///   strangers could cause it;
/// * 429: not processed, may be tried again;
/// * 301, 307, 308: the URL is wrong, for they mean "repeat this elsewhere". Other redirects may
///   follow a request that was carried out, and tell nothing;
/// * 408: sent by servers that never read the request and by proxies that did;
/// * every other 4xx: this message was refused;
/// * 5xx, and a success that is not understood: nobody knows how far it came.
pub(in crate::gateway) fn by_status(answer: &Answer) -> Meaning {
    let (of_the_gateway, of_this_message) = (Meaning::of_the_gateway, Meaning::of_this_message);
    match answer.status.as_u16() {
        401 | 402 | 301 | 307 | 308 => of_the_gateway(ErrorClass::Configuration),
        403 => of_this_message(ErrorClass::Configuration),
        429 => of_the_gateway(ErrorClass::Retry { after: None }).with_wait_of(answer),
        408 => of_the_gateway(ErrorClass::Ambiguous),
        400..=499 => of_this_message(ErrorClass::Refused),
        // The body broke off, or was longer than any answer: the server or the network is in trouble.
        200..=299 if answer.body.is_some() => of_this_message(ErrorClass::Ambiguous),
        _ => of_the_gateway(ErrorClass::Ambiguous),
    }
}

/// Words for a status that a provider does not explain in a way that we know.
pub(in crate::gateway) fn words_for_status(answer: &Answer, url_setting: &str) -> String {
    let status = answer.status.as_u16();
    match status {
        401 | 403 => {
            format!("answered HTTP {status}: the credentials were not accepted, or do not permit this")
        }
        402 => "answered HTTP 402: the account has no credit".to_owned(),
        429 => "answered HTTP 429: too many requests".to_owned(),
        300..=399 => {
            format!("answered HTTP {status}: a redirect, which is not followed; check {url_setting}")
        }
        200..=299 if answer.body.is_none() => {
            format!("answered HTTP {status} with a body that broke off or is too long")
        }
        200..=299 => format!("answered HTTP {status} and nothing that is known as success"),
        _ => format!("answered HTTP {status} and no reason that is known"),
    }
}

/// There was no answer. Without a connection the same call may work on the next try.
pub(in crate::gateway) fn not_answered(gateway: GatewayName, no_answer: NoAnswer) -> GatewayError {
    match no_answer {
        NoAnswer::NotConnected(why) => Meaning::of_the_gateway(ErrorClass::Retry { after: None }).error(
            gateway,
            None,
            format!("was not reached: {why}"),
        ),
        NoAnswer::Broken(why) => Meaning::of_the_gateway(ErrorClass::Ambiguous).error(
            gateway,
            None,
            format!("did not answer: {why}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use hyper::StatusCode;
    use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};

    use super::*;

    #[test]
    fn every_status_has_a_class_and_says_whether_all_messages_meet_it() {
        let retry = ErrorClass::Retry { after: Some(Duration::from_secs(9)) };
        for (status, class, whole_gateway) in [
            (200, ErrorClass::Ambiguous, false),
            (204, ErrorClass::Ambiguous, false),
            (301, ErrorClass::Configuration, true),
            (302, ErrorClass::Ambiguous, true),
            (303, ErrorClass::Ambiguous, true),
            (307, ErrorClass::Configuration, true),
            (308, ErrorClass::Configuration, true),
            (400, ErrorClass::Refused, false),
            (401, ErrorClass::Configuration, true),
            (402, ErrorClass::Configuration, true),
            (403, ErrorClass::Configuration, false),
            (404, ErrorClass::Refused, false),
            (408, ErrorClass::Ambiguous, true),
            (429, retry, true),
            (499, ErrorClass::Refused, false),
            (500, ErrorClass::Ambiguous, true),
            (503, ErrorClass::Ambiguous, true),
            (600, ErrorClass::Ambiguous, true),
        ] {
            let expected = Meaning { class, whole_gateway };
            assert_eq!(by_status(&answer(status, Some(Bytes::new()))), expected, "{status}");
        }
    }

    #[test]
    fn a_code_is_found_in_a_table_and_an_unknown_one_is_not() {
        let (refused, bad) = (Meaning::of_this_message(ErrorClass::Refused), ErrorClass::BadNumber);
        let table = [(7, refused, "seven"), (9, Meaning::of_this_message(bad), "nine")];
        assert_eq!(known_code(&table, 7), Some((refused, "seven")));
        assert_eq!(known_code(&table, 8), None);
    }

    #[test]
    fn a_body_that_broke_off_is_the_servers_trouble() {
        assert_eq!(by_status(&answer(200, None)), Meaning::of_the_gateway(ErrorClass::Ambiguous));
        assert!(words_for_status(&answer(200, None), "x").contains("broke off"));
    }

    #[test]
    fn a_redirect_names_the_setting_to_check() {
        assert!(words_for_status(&answer(301, None), "sms.mada.url").ends_with("check sms.mada.url"));
    }

    fn answer(status: u16, body: Option<Bytes>) -> Answer {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("9"))]);
        Answer { status: StatusCode::from_u16(status).expect("a status"), headers, body }
    }
}
