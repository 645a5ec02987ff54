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

use super::request::TemplateReader;
use crate::domain::Timestamp;
use crate::gateway::GatewaySettingsError;

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
    pub(super) fn new(sign: &Signing, reader: &mut TemplateReader<'_>) -> Result<Self, GatewaySettingsError> {
        let owner = &reader.settings.owner;
        let no_message = || owner.problem("sign", "must be of credentials and not of a message");
        let mut text = |member: &str| {
            let template = reader.template(member, "sign")?;
            template.without_message(String::push_str).ok_or_else(no_message)
        };
        Ok(match sign {
            Signing::Hmac(hmac) => {
                let header = HeaderName::from_bytes(hmac.header.as_bytes());
                let header =
                    header.map_err(|_| owner.problem("sign.hmac.header", "must be the name of a header"))?;
                Self::Hmac(header, hmac.clone(), text(&hmac.key)?)
            }
            Signing::Aws(AwsKey { region, service, key_id, secret }) => Self::Aws {
                region: text(region)?.to_string(),
                service: text(service)?.to_string(),
                key_id: text(key_id)?.to_string(),
                secret: text(secret)?,
            },
        })
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
        lines.push((name.as_str().to_owned(), value.to_str().ok()?.trim().to_owned()));
    }
    lines.sort();
    let names = lines.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = lines.iter().flat_map(|(name, value)| [name.as_str(), ":", value, "\n"]).collect();
    let query = url.query().unwrap_or_default();
    let canonical = format!("{method}\n{}\n{query}\n{lines}\n{names}\n{}", url.path(), sha256_hex(body));
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
    use reqwest::header::CONTENT_TYPE;

    use super::*;

    /// The example of AWS's guide to Signature Version 4: `ListUsers` of IAM on 30 August 2015.
    #[test]
    fn a_signature_is_that_of_the_example_of_aws() {
        let signer = Signer::Aws {
            region: "us-east-1".to_owned(),
            service: "iam".to_owned(),
            key_id: "AKIDEXAMPLE".to_owned(),
            secret: Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        };
        let url =
            Url::parse("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08").expect("a URL");
        let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, form)]);
        let now = Timestamp::from_millis(1_440_938_160_000);
        signer.sign(&Method::GET, &url, &mut headers, "", now).expect("headers");
        assert_eq!(headers["x-amz-date"], "20150830T123600Z");
        assert_eq!(
            headers[AUTHORIZATION],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }
}
