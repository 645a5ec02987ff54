//! Ids that tie an answer to its log lines.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// The header that carries the id, in requests and answers.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's own id when it is a UUID (RFC 9562) or 32 hex digits, as trace ids are. Ids stand
/// in the log, and one of free form might be a telephone number or a code.
pub fn from_client(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(&X_REQUEST_ID)?;
    let groups: Vec<&[u8]> = id.as_bytes().split(|byte| *byte == b'-').collect();
    let hex = groups.iter().all(|group| group.iter().all(u8::is_ascii_hexdigit));
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    (hex && matches!(lengths[..], [8, 4, 4, 4, 12] | [32])).then(|| id.clone())
}

/// An id of ours: start of the program, connection and request, in hex, such as `9f01c2aa-1c-3`.
pub fn of_ours(prefix: u32, connection: u64, request: u64) -> HeaderValue {
    // Made in place and exactly as long as needed, so that it is one allocation.
    let mut id = Vec::with_capacity(10 + hex_digits(connection) + hex_digits(request));
    push_hex(&mut id, u64::from(prefix), 8);
    id.push(b'-');
    push_hex(&mut id, connection, hex_digits(connection));
    id.push(b'-');
    push_hex(&mut id, request, hex_digits(request));
    // Hex digits and hyphens are always a valid value.
    HeaderValue::from_maybe_shared(bytes::Bytes::from(id)).unwrap_or(HeaderValue::from_static("-"))
}

fn hex_digits(value: u64) -> usize {
    (64 - value.leading_zeros()).div_ceil(4).max(1) as usize
}

fn push_hex(into: &mut Vec<u8>, value: u64, digits: usize) {
    for place in (0..digits).rev() {
        let digit = (value >> (4 * place)) & 0xf;
        into.push(b"0123456789abcdef"[digit as usize & 0xf]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_id(value: &'static str) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        headers.insert(&X_REQUEST_ID, HeaderValue::from_static(value));
        from_client(&headers)
    }

    #[test]
    fn an_id_of_ours_names_the_start_the_connection_and_the_request() {
        assert_eq!(of_ours(0x9f01_c2aa, 0x1c, 3), "9f01c2aa-1c-3");
        assert_eq!(of_ours(1, 0, u64::MAX), "00000001-0-ffffffffffffffff");
        assert_eq!(of_ours(u32::MAX, 16, 15), "ffffffff-10-f");
    }

    #[test]
    fn a_proper_id_of_the_client_is_kept() {
        for id in ["0190a5c1-7b2e-7c3d-8f4a-5b6c7d8e9fA0", "4bf92f3577b34da6a3ce929d0e0e4736"] {
            assert_eq!(client_id(id).expect("proper"), id);
        }
    }

    #[test]
    fn an_improper_id_of_the_client_is_replaced() {
        for id in [
            "",
            "-",
            "order-7",
            "14155552671",
            "123456",
            "14155552671-code-123456",
            "0190a5c1-7b2e-7c3d-8f4a-5b6c7d8e9fa",
            "0190a5c1-7b2e-7c3d-8f4a-5b6c7d8e9fg0",
            "0190a5c17b2e-7c3d-8f4a-5b6c7d8e9fa0a",
            "4bf92f3577b34da6a3ce929d0e0e47360",
        ] {
            assert!(client_id(id).is_none(), "{id:?}");
        }
        assert!(from_client(&HeaderMap::new()).is_none());
    }
}
