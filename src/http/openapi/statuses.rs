//! What a status means, whatever the route.

/// In a few words.
pub const fn meaning(status: u16) -> &'static str {
    match status {
        400 => "A parameter or the body cannot be used. Nothing was done.",
        401 => "No credential, or a wrong one. See the header WWW-Authenticate.",
        403 => {
            "Not allowed: the credential may not do this, a page of another site asked, or the message may not be sent."
        }
        404 => "There is no such thing, or it is used up.",
        408 => "The body did not arrive in time.",
        409 => {
            "It is there already, is changed elsewhere, or the first request with this key is still being answered."
        }
        413 => "The body is too large.",
        415 => "The body is of a media type that is not read.",
        422 => "The Idempotency-Key was used with another request.",
        429 => "Too many, or too soon. See the header Retry-After.",
        431 => "Too many or too long headers, or a too long address.",
        500 => "A mistake of the server, or trouble with the provider.",
        502 => "The provider refused the request or did not answer in time.",
        503 => "The request was not served. See the header Retry-After.",
        _ => "Something else.",
    }
}
