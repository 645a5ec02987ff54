//! Signatures of requests: HMAC of the body, and Signature Version 4 of AWS
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;
use zeroize::Zeroizing;

use super::request::{Read, Template, TemplateReader};
use crate::domain::Timestamp;

/// A signature of each request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signing {
    /// HMAC of the body in a header.
    Hmac(HmacOf),
    /// Signature Version 4 of AWS.
    Aws(AwsKey),
}

/// HMAC-SHA-256 of a body.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HmacOf {
    /// The header with the signature.
    pub header: String,
    /// The key: a credential as a placeholder.
    pub key: String,
    /// What is before the signature, such as sha256=.
    #[serde(default)]
    pub prefix: String,
    /// The form of the signature. Without it hex.
    #[serde(default)]
    pub encoding: Encoding,
    /// What is signed, with {body} and {timestamp}. Without it the body.
    #[serde(default = "the_body")]
    pub over: String,
    /// The header with the time that is signed too, in reports.
    #[serde(default)]
    pub timestamp: Option<String>,
}

fn the_body() -> String {
    "{body}".to_owned()
}

/// The form of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// A key of AWS; each member may be a placeholder.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
    /// The header and the key. `member` is the place of the description.
    pub(super) fn check(
        &self,
        member: &str,
        reader: &mut TemplateReader<'_>,
    ) -> Read<(HeaderName, Zeroizing<String>)> {
        if let Some(name) = &self.timestamp {
            reader.header(name, &format!("{member}.timestamp"))?;
        }
        if self.over.matches("{body}").count() != 1
            || self.over.contains("{timestamp}") != self.timestamp.is_some()
        {
            let words = "must have {body} once, and {timestamp} if \"timestamp\" names its header";
            return reader.wrong(&format!("{member}.over"), words);
        }
        let header = reader.header(&self.header, &format!("{member}.header"))?;
        Ok((header, reader.key(&self.key, &format!("{member}.key"))?))
    }

    /// The value of the header for a body.
    pub(super) fn value(&self, key: &[u8], body: &[u8], timestamp: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        let (before, after) = self.over.split_once("{body}").unwrap_or(("", &self.over));
        mac.update(before.replace("{timestamp}", timestamp).as_bytes());
        mac.update(body);
        mac.update(after.replace("{timestamp}", timestamp).as_bytes());
        let made = mac.finalize().into_bytes();
        let text = match self.encoding {
            Encoding::Hex => base16ct::lower::encode_string(&made),
            Encoding::Base64 => STANDARD.encode(made),
        };
        Some(format!("{}{text}", self.prefix))
    }
}

/// A signature with its key.
pub(super) enum Signer {
    Hmac(HeaderName, HmacOf, Zeroizing<String>),
    Aws { region: String, service: String, key_id: String, secret: Zeroizing<String> },
}

impl Signer {
    /// `url` is what is signed.
    pub(super) fn new(sign: &Signing, url: &Template, reader: &mut TemplateReader<'_>) -> Read<Self> {
        let AwsKey { region, service, key_id, secret } = match sign {
            Signing::Aws(key) => key,
            Signing::Hmac(hmac) => {
                if hmac.timestamp.is_some() {
                    return reader.wrong("sign.hmac.timestamp", "is for receipts only");
                }
                let (header, key) = hmac.check("sign.hmac", reader)?;
                return Ok(Self::Hmac(header, hmac.clone(), key));
            }
        };
        // What AWS signs of another address is written in another way.
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
        let is_signed_as_it_is = |url: Url| {
            url.query().is_none() && url.path().bytes().all(is_plain) && !url.path().contains("//")
        };
        if !url.fixed().is_some_and(is_signed_as_it_is) {
            let words = "must have no query, no part of a message, and a path of letters, digits and - . _ ~ /: sign.aws \
                         signs no other";
            return reader.wrong("url", words);
        }
        let mut text = |member: &str| match reader.template(member, "sign.aws")?.without_message() {
            Some(text) => Ok(text.to_string()),
            None => reader.wrong("sign.aws", "must be of credentials and not of a message"),
        };
        let (region, service, key_id) = (text(region)?, text(service)?, text(key_id)?);
        Ok(Self::Aws { region, service, key_id, secret: reader.key(secret, "sign.aws.secret")? })
    }

    /// Adds the headers of the signature. `None` if they cannot be headers.
    pub(super) fn sign(
        &self,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
        body: &str,
        now: Timestamp,
    ) -> Option<()> {
        match self {
            Self::Hmac(header, hmac, key) => {
                let value = hmac.value(key.as_bytes(), body.as_bytes(), "")?;
                headers.insert(header.clone(), HeaderValue::from_str(&value).ok()?);
            }
            Self::Aws { region, service, key_id, secret } => {
                let time = now.rfc3339_seconds().to_string().replace(['-', ':'], "");
                headers.insert("x-amz-date", HeaderValue::from_str(&time).ok()?);
                let scope = format!("{}/{region}/{service}/aws4_request", time.get(..8)?);
                let (names, canonical) = canonical_request(method, url, headers, body)?;
                let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(&canonical));
                let first = Zeroizing::new(format!("AWS4{}", **secret).into_bytes());
                let key = scope.split('/').try_fold(first, |key, part| mac(&key, part))?;
                let signature = base16ct::lower::encode_string(&mac(&key, &to_sign)?);
                let value = format!(
                    "AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
                );
                headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).ok()?);
            }
        }
        Some(())
    }
}

/// The names of the signed headers, and the request in the form that is signed. The URL has no query.
fn canonical_request(
    method: &Method,
    url: &Url,
    headers: &HeaderMap,
    body: &str,
) -> Option<(String, String)> {
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut lines = vec![("host".to_owned(), host.to_owned())];
    for (name, value) in headers {
        let words: Vec<&str> = value.to_str().ok()?.split_ascii_whitespace().collect();
        lines.push((name.as_str().to_owned(), words.join(" ")));
    }
    lines.sort();
    let names = lines.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = lines.iter().flat_map(|(name, value)| [name.as_str(), ":", value, "\n"]).collect();
    let canonical = format!("{method}\n{}\n\n{lines}\n{names}\n{}", url.path(), sha256_hex(body));
    Some((names, canonical))
}

fn sha256_hex(text: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(text.as_bytes()))
}

fn mac(key: &[u8], text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text.as_bytes());
    Some(Zeroizing::new(mac.finalize().into_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers = &'static [(&'static str, &'static str)];

    /// Of the public Signature Version 4 test suite of AWS, those without a query: the request's method, path, headers and
    /// body, and the signature.
    const SUITE: [(&str, &str, &str, Headers, &str, &str); 8] = [
        (
            "get-vanilla",
            "GET",
            "/",
            &[],
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "get-unreserved",
            "GET",
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            &[],
            "",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (
            "get-header-value-trim",
            "GET",
            "/",
            &[("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
            "",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "post-vanilla",
            "POST",
            "/",
            &[],
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "post-header-key-sort",
            "POST",
            "/",
            &[("My-Header1", "value1")],
            "",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        ),
        (
            "post-header-value-case",
            "POST",
            "/",
            &[("My-Header1", "VALUE1")],
            "",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (
            "post-x-www-form-urlencoded",
            "POST",
            "/",
            &[("Content-Type", "application/x-www-form-urlencoded")],
            "Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            "post-x-www-form-urlencoded-parameters",
            "POST",
            "/",
            &[("Content-Type", "application/x-www-form-urlencoded; charset=utf8")],
            "Param1=value1",
            "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
        ),
    ];

    #[test]
    fn signatures_are_those_of_the_test_suite_of_aws() {
        let signer = Signer::Aws {
            region: "us-east-1".to_owned(),
            service: "service".to_owned(),
            key_id: "AKIDEXAMPLE".to_owned(),
            secret: Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        };
        let now = Timestamp::from_millis(1_440_938_160_000);
        for (name, method, path, given, body, signature) in SUITE {
            let url = Url::parse(&format!("https://example.amazonaws.com{path}")).expect("a URL");
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                headers.insert(name, HeaderValue::from_str(value).expect("a value"));
            }
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            signer.sign(&method, &url, &mut headers, body, now).expect("headers");
            assert_eq!(headers["x-amz-date"], "20150830T123600Z");
            let authorization = headers[AUTHORIZATION].to_str().expect("ASCII");
            assert_eq!(authorization.split("Signature=").nth(1), Some(signature), "{name}: {authorization}");
        }
    }
}
