//! The beginning of the addresses in answers.

use std::sync::Arc;

use hyper::http::request::Parts as Head;
use hyper::http::uri::Authority;

use super::request;

/// Longest name and port that are repeated.
const LONGEST_HOST: usize = 262;

/// The server's base address, as far as it is known: the start of addresses in answers.
#[derive(Debug, Clone)]
pub struct Base {
    /// The setting `public-url`: an address without a slash at its end, perhaps with a path.
    pub public_url: Option<Arc<str>>,
    /// Whether the listener speaks TLS.
    pub tls: bool,
    /// The address that the server listens on, as `host:port`, for requests that name none.
    pub listens_on: Arc<str>,
}

impl Base {
    /// The prefix of addresses in the answer to this request, up to and with `/v2`.
    pub fn of(&self, head: &Head) -> String {
        if let Some(url) = &self.public_url {
            return format!("{}/v2", url.trim_end_matches('/'));
        }
        let scheme = if self.tls { "https" } else { "http" };
        // Anything else may be valid, but is no address that a client can use again.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        let host = request::host_of(head).filter(|host| {
            host.as_str().len() <= LONGEST_HOST
                && request::is_host_and_port(host.as_str().as_bytes())
                && host.as_str().chars().all(is_plain)
        });
        let host = host.as_ref().map_or(&*self.listens_on, Authority::as_str);
        format!("{scheme}://{host}/v2")
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HOST;

    use super::*;

    fn base(public_url: Option<&str>, host: &str) -> String {
        let base =
            Base { public_url: public_url.map(Into::into), tls: false, listens_on: "127.0.0.1:3000".into() };
        let request = hyper::Request::get("/v2/Services").header(HOST, host).body(()).expect("a request");
        base.of(&request.into_parts().0)
    }

    #[test]
    fn addresses_begin_with_the_public_url_else_with_what_the_client_asked() {
        assert_eq!(
            base(Some("https://codes.example/verify/"), "evil.example"),
            "https://codes.example/verify/v2"
        );
        assert_eq!(base(None, "codes.example:8080"), "http://codes.example:8080/v2");
        assert_eq!(base(None, "[::1]:3000"), "http://[::1]:3000/v2");
    }

    #[test]
    fn a_host_that_is_more_than_a_host_is_not_repeated() {
        for host in ["", "a@b", "a/b", "a b", "a?b", "a#b", "\"", "a:x", &"a".repeat(300), "<script>"] {
            assert_eq!(base(None, host), "http://127.0.0.1:3000/v2", "{host:?}");
        }
    }
}
