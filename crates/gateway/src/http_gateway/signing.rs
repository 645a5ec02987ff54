//! HMAC of reports, and Signature Version 4 of AWS for requests
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Request;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Position;

use crate::domain::Timestamp;

/// HMAC-SHA-256 of a report, in hex.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HmacOf {
    /// The header with the signature.
    pub header: String,
    /// The key: a credential as a placeholder.
    pub key: String,
    /// What is before the signature, such as sha256=.
    #[serde(default)]
    pub prefix: String,
    /// What is signed, with {body} and {timestamp}. Without it the body.
    #[serde(default = "the_body")]
    pub over: String,
    /// The header with the time that is signed too.
    #[serde(default)]
    pub timestamp: Option<String>,
}

fn the_body() -> String {
    "{body}".to_owned()
}

/// A key of AWS; each member may be a placeholder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsKey {
    /// The region, such as eu-central-1.
    pub region: String,
    /// The name of the service in signatures.
    pub service: String,
    /// The id of the access key.
    pub key_id: String,
    /// The secret access key.
    pub secret: String,
}

impl HmacOf {
    /// The value of the header for a body.
    pub(super) fn value(&self, key: &str, body: &[u8], timestamp: &str) -> String {
        let (before, after) = self.over.split_once("{body}").unwrap_or(("", &self.over));
        let [before, after] = [before, after].map(|text| text.replace("{timestamp}", timestamp));
        let made = mac(key.as_bytes(), &[before.as_bytes(), body, after.as_bytes()]);
        format!("{}{}", self.prefix, base16ct::lower::encode_string(&made))
    }
}

impl AwsKey {
    /// Adds the time to the request. The URL has no query.
    pub(super) fn authorization(&self, request: &mut Request, body: &str, now: Timestamp) -> String {
        let Self { region, service, key_id, secret } = self;
        let time = now.rfc3339_seconds().to_string().replace(['-', ':'], "");
        let day = time.split('T').next().unwrap_or_default();
        request.headers_mut().extend(HeaderValue::from_str(&time).map(|time| (X_AMZ_DATE, time)));
        let (names, canonical) = canonical_request(request, body);
        let scope = format!("{day}/{region}/{service}/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(&canonical));
        let first = format!("AWS4{secret}").into_bytes();
        let key = scope.split('/').fold(first, |key, part| mac(&key, &[part.as_bytes()]));
        let signature = base16ct::lower::encode_string(&mac(&key, &[to_sign.as_bytes()]));
        format!("AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }
}

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");

/// The names of the signed headers, and the request in the form that is signed.
fn canonical_request(request: &Request, body: &str) -> (String, String) {
    let url = request.url();
    let mut lines = vec![("host", url[Position::BeforeHost..Position::AfterPort].to_owned())];
    for (name, value) in request.headers() {
        // Every value is visible ASCII.
        let words: Vec<&str> = value.to_str().unwrap_or_default().split_ascii_whitespace().collect();
        lines.push((name.as_str(), words.join(" ")));
    }
    lines.sort();
    let names = lines.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = lines.iter().flat_map(|(name, value)| [name, ":", value, "\n"]).collect();
    let canonical = format!("{}\n{}\n\n{lines}\n{names}\n{}", request.method(), url.path(), sha256_hex(body));
    (names, canonical)
}

fn sha256_hex(text: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(text.as_bytes()))
}

/// HMAC-SHA-256 of parts that follow each other.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // Keys of every length are taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_test_suite_of_aws() {
        let key = AwsKey {
            region: "us-east-1".to_owned(),
            service: "service".to_owned(),
            key_id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        };
        let now = Timestamp::from_millis(1_440_938_160_000);
        for line in include_str!("tests/aws.tsv").lines().filter(|line| !line.starts_with('#')) {
            let [method, headers, body, signature] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let url = "https://example.amazonaws.com/".parse().expect("a URL");
            let mut request = Request::new(method.parse().expect("a method"), url);
            for (name, value) in headers.split('|').filter_map(|header| header.split_once(':')) {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a value"));
            }
            let authorization = key.authorization(&mut request, body, now);
            assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
            assert_eq!(authorization.split("Signature=").nth(1), Some(signature), "{authorization}");
        }
    }
}
