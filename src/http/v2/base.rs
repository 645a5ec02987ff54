//! What the addresses in answers begin with.

use std::sync::Arc;

use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;

/// Longest name and port that are repeated.
const LONGEST_HOST: usize = 262;

/// Where the server can be reached, as far as it knows.
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
    /// What addresses in the answer to this request begin with, up to and with `/v2`.
    pub fn of(&self, head: &Parts) -> String {
        if let Some(url) = &self.public_url {
            return format!("{}/v2", url.trim_end_matches('/'));
        }
        let scheme = if self.tls { "https" } else { "http" };
        let of_target = head.uri.authority().map(Authority::as_str);
        let named = || head.headers.get(HOST)?.to_str().ok();
        let host = of_target.or_else(named).filter(|host| is_plain(host)).unwrap_or(&self.listens_on);
        format!("{scheme}://{host}/v2")
    }
}

/// Whether this is a host, perhaps with a port, and nothing else: it is repeated in answers.
fn is_plain(host: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    host.len() <= LONGEST_HOST
        && host.bytes().all(plain)
        && host.parse::<Authority>().is_ok_and(|authority| {
            let name = authority.host();
            let port = host.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'));
            !name.is_empty() && (host == name || port.is_some_and(|port| port.parse::<u16>().is_ok()))
        })
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn base(public_url: Option<&str>, host: &str) -> String {
        let base =
            Base { public_url: public_url.map(Into::into), tls: false, listens_on: "127.0.0.1:3000".into() };
        let request = Request::get("/v2/Services").header(HOST, host).body(()).expect("a request");
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
