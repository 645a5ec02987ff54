//! Answers to what never became a request, written without hyper.

use bytes::Bytes;
use hyper::header::HeaderValue;

use crate::http::answer::Shape;
use crate::http::problem::Problem;
use crate::http::request_id::X_REQUEST_ID;

/// A whole HTTP/1.1 response that closes the connection. The path is not known here, so it always
/// has the envelope.
pub fn raw_answer(problem: Problem, id: &HeaderValue) -> Bytes {
    let answer = problem.answer(Shape::Envelope);
    let mut raw = Vec::with_capacity(384);
    let status = answer.status;
    let reason = status.canonical_reason().unwrap_or_default();
    raw.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    push_header(&mut raw, "content-type", answer.content_type.as_bytes());
    push_header(&mut raw, X_REQUEST_ID.as_str(), id.as_bytes());
    push_header(&mut raw, "cache-control", b"no-store");
    for (name, value) in &answer.headers {
        push_header(&mut raw, name.as_str(), value.as_bytes());
    }
    push_header(&mut raw, "connection", b"close");
    push_header(&mut raw, "content-length", answer.body.len().to_string().as_bytes());
    raw.extend_from_slice(b"\r\n");
    raw.extend_from_slice(&answer.body);
    raw.into()
}

fn push_header(raw: &mut Vec<u8>, name: &str, value: &[u8]) {
    raw.extend_from_slice(name.as_bytes());
    raw.extend_from_slice(b": ");
    raw.extend_from_slice(value);
    raw.extend_from_slice(b"\r\n");
}

/// The problem behind an answer that hyper wrote by itself because it could not read a head:
/// status 400 or 431 without a body. All answers of ours have a request id.
pub fn hypers_own(response: &[u8]) -> Option<Problem> {
    let status = response.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    let problem = match status {
        b"400" => Problem::BadHead,
        b"431" => Problem::HeadTooLarge,
        _ => return None,
    };
    let ours = X_REQUEST_ID.as_str().as_bytes();
    (!response.windows(ours.len()).any(|part| part == ours)).then_some(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_answer_is_a_whole_response_in_the_envelope() {
        let raw = raw_answer(Problem::TooManyConnections, &HeaderValue::from_static("1-2-0"));
        let text = std::str::from_utf8(&raw).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        assert_eq!(
            head.lines().collect::<Vec<_>>(),
            [
                "HTTP/1.1 503 Service Unavailable",
                "content-type: application/json",
                "x-request-id: 1-2-0",
                "cache-control: no-store",
                "retry-after: 1",
                "connection: close",
                &format!("content-length: {}", body.len()),
            ]
        );
        assert_eq!(body, r#"{"code":503,"message":"Too many connections are open. Try again shortly."}"#);
    }

    #[test]
    fn only_hypers_own_empty_answers_are_replaced() {
        let own = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(hypers_own(own), Some(Problem::HeadTooLarge));
        assert_eq!(hypers_own(b"HTTP/1.0 400 Bad Request\r\n\r\n"), Some(Problem::BadHead));
        assert_eq!(hypers_own(b"HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\n\r\n"), None);
        assert_eq!(hypers_own(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(hypers_own(b"HTTP/1.1 100 Continue\r\n\r\n"), None);
        assert_eq!(hypers_own(b"HTTP/1."), None);
        assert_eq!(hypers_own(b""), None);
    }
}
