//! The beginning of the addresses in answers.

use hyper::http::uri::Authority;

use super::request;
use crate::config::ListenAddress;

/// Longest name and port that are repeated.
const LONGEST_HOST: usize = 262;

/// The prefix of addresses in the answer to a request, up to and with `/v2`. Begins with `public-url`, else with the
/// address that the client asked, else with the one that the server listens on.
pub fn base(
    public_url: Option<&str>,
    is_tls: bool,
    listen: &ListenAddress,
    host: Option<Authority>,
) -> String {
    if let Some(url) = public_url {
        return format!("{}/v2", url.trim_end_matches('/'));
    }
    let scheme = if is_tls { "https" } else { "http" };
    // Anything else may be valid, but is no address that a client can use again.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let host = host.filter(|host| {
        host.as_str().len() <= LONGEST_HOST
            && request::is_host_and_port(host.as_str().as_bytes())
            && host.as_str().chars().all(is_plain)
    });
    let host = host.map_or_else(|| listen.to_string(), |host| host.to_string());
    format!("{scheme}://{host}/v2")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base_of(public_url: Option<&str>, host: &str) -> String {
        let listen = ListenAddress { host: "127.0.0.1".to_owned(), port: 3000 };
        base(
            public_url,
            false,
            &listen,
            request::host_of(&"/v2/Services".parse().expect("a path"), Some(host)),
        )
    }

    #[test]
    fn addresses_begin_with_the_public_url_else_with_what_the_client_asked() {
        assert_eq!(
            base_of(Some("https://codes.example/verify/"), "evil.example"),
            "https://codes.example/verify/v2"
        );
        assert_eq!(base_of(None, "codes.example:8080"), "http://codes.example:8080/v2");
        assert_eq!(base_of(None, "[::1]:3000"), "http://[::1]:3000/v2");
        for no_address in ["a!b", &"a".repeat(300)] {
            assert_eq!(base_of(None, no_address), "http://127.0.0.1:3000/v2");
        }
    }
}
