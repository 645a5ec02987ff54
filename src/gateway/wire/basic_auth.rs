//! The header of HTTP Basic authentication (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use zeroize::Zeroizing;

/// `base64(user:password)`.
pub(in crate::gateway) fn basic_credentials(user: &str, password: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{user}:{password}"));
    Zeroizing::new(STANDARD.encode(pair.as_bytes()))
}

/// The header, which no `Debug` shows. `None` for a user name with a colon, with which the server
/// would read another name and password, and for empty parts.
pub(in crate::gateway) fn basic_auth(user: &str, password: &str) -> Option<HeaderValue> {
    if user.is_empty() || user.contains(':') || password.is_empty() {
        return None;
    }
    let header = Zeroizing::new(format!("Basic {}", *basic_credentials(user, password)));
    let mut value = HeaderValue::from_str(&header).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_the_standard_and_is_not_printed() {
        let header = basic_auth("Aladdin", "open sesame").expect("a header");
        assert_eq!(header.as_bytes(), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    fn what_a_server_would_read_differently_is_refused() {
        for (user, password) in [("a:b", "c"), ("", "c"), ("a", "")] {
            assert!(basic_auth(user, password).is_none(), "{user}");
        }
        assert!(basic_auth("a", "b:c").is_some());
    }
}
