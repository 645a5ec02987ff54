//! Whether a callback comes from Twilio: `X-Twilio-Signature`.
//!
//! Source: <https://www.twilio.com/docs/usage/security>. Twilio signs the whole public address that
//! it asked for with HMAC-SHA-1, keyed with the account's auth token: followed, for a form, by its
//! parameters; else with the SHA-256 of the body as part of the address. No time is signed: whoever
//! sees a callback can send it again, so carrying one out twice must do no harm.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::callbacks::Fields;
use crate::domain::GatewayCredential;

/// The query parameter that carries the hash of a body that is no form.
const BODY_HASH: &str = "bodySHA256";

/// What came with a request.
pub(super) struct Request<'a> {
    /// As the server was asked for them.
    pub(super) path_and_query: &'a str,
    /// The fields of a form; `None` when the body is none.
    pub(super) form: Option<&'a Fields>,
    pub(super) body: &'a [u8],
}

/// Whether the signature is that of the account, for this request at this public address. Takes
/// the same time wherever a wrong signature differs.
pub(super) fn is_genuine(
    token: &GatewayCredential,
    public_url: &str,
    request: &Request<'_>,
    signature: &str,
) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    // Keys of every length are taken.
    let Ok(keyed) = Hmac::<Sha1>::new_from_slice(token.expose().as_bytes()) else { return false };
    let parameters = match request.form {
        Some(fields) => fields.in_order(),
        None if has_hash_of(request) => String::new(),
        None => return false,
    };
    addresses(public_url, request.path_and_query).into_iter().any(|address| {
        let mac = keyed.clone().chain_update(address).chain_update(&parameters);
        mac.verify_slice(&signature).is_ok()
    })
}

/// Whether the address carries the hash of the body. Neither is a secret.
fn has_hash_of(request: &Request<'_>) -> bool {
    let expected = base16ct::lower::encode_string(&Sha256::digest(request.body));
    let query = request.path_and_query.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == BODY_HASH && value.eq_ignore_ascii_case(&expected))
}

/// The addresses that Twilio may have asked for, the likeliest first.
///
/// Where the public address has a path of its own, a proxy in front may have taken it away, or
/// left it: then the server was asked for it already. And Twilio signs some addresses without a
/// port that they have, some with one that goes without saying.
fn addresses(public_url: &str, path_and_query: &str) -> Vec<String> {
    let (scheme, rest) = public_url.split_once("://").unwrap_or(("", public_url));
    let (authority, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let left =
        !prefix.is_empty() && path_and_query.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    let prefixes: &[&str] = if left { &[prefix, ""] } else { &[prefix] };
    let other_port = match without_port(authority) {
        Some(host) => host.to_owned(),
        None => format!("{authority}:{}", if scheme == "http" { 80 } else { 443 }),
    };
    [authority, &other_port]
        .into_iter()
        .flat_map(|host| {
            prefixes.iter().map(move |prefix| format!("{scheme}://{host}{prefix}{path_and_query}"))
        })
        .collect()
}

/// The host of `host:port`; `None` when there is no port. Colons within `[...]` are an address's.
fn without_port(authority: &str) -> Option<&str> {
    let (host, port) = authority.rsplit_once(':')?;
    port.bytes().all(|b| b.is_ascii_digit()).then_some(host)
}

#[cfg(test)]
mod tests;
