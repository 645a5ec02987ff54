//! The credential of a request: HTTP Basic authentication.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::request;

/// Longest value of the header that is read: ids and secrets are far shorter.
const LONGEST: usize = 1_024;

/// The user and the password of basic authentication, as they were sent. Has no `Debug`.
pub struct Credential {
    both: Zeroizing<String>,
    colon: usize,
}

impl Credential {
    /// Reads the header. `None` when it is absent, given twice, or none of this scheme.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, encoded) = request::only(headers, &AUTHORIZATION)?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > LONGEST {
            return None;
        }
        let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
        let both = Zeroizing::new(std::str::from_utf8(&decoded).ok()?.to_owned());
        let colon = both.find(':')?;
        Some(Self { both, colon })
    }

    /// The account's sid, or a key's.
    pub fn user(&self) -> &str {
        &self.both[..self.colon]
    }

    /// The auth token, or a key's secret.
    pub fn password(&self) -> &str {
        &self.both[self.colon + 1..]
    }
}

/// A user for the log: the beginning of what looks like an id, and nothing of anything else, which could be a password in
/// the wrong place.
pub fn masked_user(user: &str) -> String {
    let looks_like_an_id = user.len() == 34
        && ["AC", "SK"].iter().any(|prefix| user.starts_with(prefix))
        && user.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if looks_like_an_id { format!("{}...", &user[..6]) } else { "no id".to_owned() }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn read(value: &str) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
        let credential = Credential::of(&headers)?;
        Some((credential.user().to_owned(), credential.password().to_owned()))
    }

    fn basic(both: &str) -> String {
        format!("Basic {}", STANDARD.encode(both))
    }

    #[test]
    fn a_user_and_a_password_are_read_and_the_password_may_have_colons() {
        assert_eq!(read(&basic("AC1:se:cret")), Some(("AC1".to_owned(), "se:cret".to_owned())));
        assert_eq!(read(&basic("AC1:").replace("Basic", "bASIC")), Some(("AC1".to_owned(), String::new())));
    }

    #[test]
    fn what_is_no_credential_is_not_read() {
        for value in
            ["", "Basic", "Basic !", "Bearer QUMxOng=", &basic("no colon"), &basic(&"x:".repeat(2_000))]
        {
            assert_eq!(read(value), None, "{value:?}");
        }
        let mut twice = HeaderMap::new();
        for _ in 0..2 {
            twice.append(AUTHORIZATION, HeaderValue::from_str(&basic("a:b")).expect("a value"));
        }
        assert!(Credential::of(&twice).is_none());
    }

    #[test]
    fn the_log_shows_the_beginning_of_an_id_and_nothing_else() {
        assert_eq!(masked_user(&format!("SK12345{}", "0".repeat(27))), "SK1234...");
        assert_eq!(masked_user("hunter2"), "no id");
    }
}
