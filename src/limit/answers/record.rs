//! A kept answer on the disk: JSON in the envelope, with no key in it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::book::Page;
use super::ticket::Identity;
use crate::domain::Timestamp;
use crate::limit::desk::PageError;
use crate::store::record;

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerRecord {
    /// What tells the key from another with the same subject: 16 hexadecimal digits.
    k: String,
    /// What makes two requests the same: 64 hexadecimal digits.
    f: String,
    /// When it ends, in milliseconds.
    e: u64,
    /// The answer, if there is one; in an array, so that an answer `null` is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    a: Option<[Value; 1]>,
}

pub fn encode(page: &Page) -> Bytes {
    let value = |value: &Bytes| serde_json::from_slice(value).map(|value| [value]).ok();
    let says = AnswerRecord {
        k: format!("{:016x}", page.identity.tag),
        f: base16ct::lower::encode_string(&page.identity.fingerprint),
        e: page.ends.as_millis(),
        a: page.value.as_ref().and_then(value),
    };
    #[expect(clippy::expect_used, reason = "strings, numbers and JSON have no part that JSON lacks")]
    let body = serde_json::to_vec(&says).expect("plain data");
    record::seal(VERSION, &body)
}

pub fn decode(sealed: &[u8]) -> Result<Page, PageError> {
    let (version, body) = record::open(sealed)?;
    if version != VERSION {
        return Err(PageError::Version(version));
    }
    let AnswerRecord { k, f, e, a } = serde_json::from_slice(body)?;
    let tag = u64::from_str_radix(&k, 16).map_err(|_| PageError::Part("k"))?;
    let mut fingerprint = [0; 32];
    let read = base16ct::lower::decode(&f, &mut fingerprint).map_err(|_| PageError::Part("f"))?;
    if read.len() != fingerprint.len() {
        return Err(PageError::Part("f"));
    }
    let value = a.map(|[value]| Bytes::from(value.to_string()));
    Ok(Page { identity: Identity { tag, fingerprint }, ends: Timestamp::from_millis(e), value })
}
