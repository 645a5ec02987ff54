//! Responses to what never became a request, written without hyper, and a close that does not cut them off.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Stream;
use crate::http::answer::Shape;
use crate::http::problem::Problem;
use crate::http::request::X_REQUEST_ID;

/// Bounds of [`linger`]. A client that sends more would not read its response soon.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 8 * 1024 * 1024;

/// Reads and discards input until the client closes too, or a bound is reached.
///
/// A socket that is closed with unread input resets the connection. The reset can overtake the response: the client
/// then sees a broken connection instead of the error.
pub async fn linger(stream: &mut impl Stream) {
    let drain = async {
        let mut sink = [0; 8 * 1024];
        let mut rest = stream.take(LINGER_BYTES);
        while let Ok(1..) = rest.read(&mut sink).await {}
    };
    // Reaching a bound is no error: the response had its chance.
    let _ = tokio::time::timeout(LINGER_TIME, drain).await;
}

/// Sends a response and closes the connection.
pub async fn turn_away(mut stream: impl Stream, response: Bytes) {
    if stream.write_all(&response).await.is_ok() && stream.shutdown().await.is_ok() {
        linger(&mut stream).await;
    }
}

/// A whole HTTP/1.1 response that closes the connection. The path is not known here, so it always has the envelope.
pub fn raw_response(problem: Problem, id: &HeaderValue) -> Bytes {
    let answer = problem.answer(Shape::Envelope);
    let reason = answer.status.canonical_reason().unwrap_or_default();
    let mut raw = format!("HTTP/1.1 {} {reason}\r\n", answer.status.as_u16()).into_bytes();
    let length = HeaderValue::from(answer.body.len());
    let mut push = |name: &str, value: &HeaderValue| {
        raw.extend_from_slice(&[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    };
    push("content-type", &answer.content_type);
    push(X_REQUEST_ID.as_str(), id);
    push("cache-control", &HeaderValue::from_static("no-store"));
    for (name, value) in &answer.headers {
        push(name.as_str(), value);
    }
    push("connection", &HeaderValue::from_static("close"));
    push("content-length", &length);
    raw.extend_from_slice(b"\r\n");
    raw.extend_from_slice(&answer.body);
    raw.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_response_is_complete_and_in_the_envelope() {
        let raw = raw_response(Problem::TooManyConnections, &HeaderValue::from_static("1-2-0"));
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
}
