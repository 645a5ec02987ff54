//! What a page consists of.

use bytes::Bytes;

/// A body with the headers that it must be served with.
#[derive(Debug, Clone)]
pub struct Page {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Further headers, names in lower case. They are part of the page's safety: send them all.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body.
    pub body: Bytes,
}
