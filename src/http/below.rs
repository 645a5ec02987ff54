//! A server whose pages people see below a path, such as `https://example.com/codes`: the path of `public-url`.
//!
//! A proxy in front may strip the path or not. Pages, redirects and cookies are written for the root and get the path here, in
//! one place: a template with an address of its own could be forgotten.

use axum::body::{Body, to_bytes};
use axum::response::Response;
use hyper::Request;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use hyper::http::uri::{PathAndQuery, Uri};
use url::Url;

/// The attributes of pages that have addresses. What people typed cannot look like one: templates escape quotes.
const ADDRESSES: [&str; 4] = ["href", "action", "formaction", "src"];

/// The path of `public-url`: `/codes`; `None` for the root.
pub fn path_of(public_url: Option<&str>) -> Option<String> {
    let path = Url::parse(public_url?).ok()?.path().trim_end_matches('/').to_owned();
    (!path.is_empty()).then_some(path)
}

/// Removes the path from a request that a proxy passed on as it was.
pub fn strip<B>(request: &mut Request<B>, path: &str) {
    let rest = request.uri().path_and_query().and_then(|whole| whole.as_str().strip_prefix(path));
    let rest = match rest {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => return,
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(rest).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// Puts the path in front of what an answer says about the root.
pub async fn put(mut response: Response, path: &str) -> Response {
    let headers = response.headers_mut();
    let below = |value: &HeaderValue, before: &str| {
        let (start, rest) = value.to_str().ok()?.split_once(before)?;
        // `//` begins the name of another host. A cookie for the whole host has a name that browsers accept with `/` only.
        let is_of_root = !rest.starts_with(['/', ';']) && !rest.is_empty();
        let text = format!("{start}{}{path}/{rest}", before.trim_end_matches('/'));
        HeaderValue::from_str(&text).ok().filter(|_| is_of_root)
    };
    if let Some(location) = headers.get(LOCATION).filter(|to| to.as_bytes().starts_with(b"/"))
        && let Some(location) = below(location, "/")
    {
        headers.insert(LOCATION, location);
    }
    for cookie in all(headers, &SET_COOKIE) {
        let cookie = below(&cookie, "Path=/").unwrap_or(cookie);
        headers.append(SET_COOKIE, cookie);
    }
    let is_page = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !is_page {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // The pages are in memory.
    let page = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for attribute in ADDRESSES {
        page = page.replace(&format!(" {attribute}=\"/"), &format!(" {attribute}=\"{path}/"));
    }
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, Body::from(page))
}

/// Takes all values of a header out.
fn all(headers: &mut hyper::HeaderMap, name: &HeaderName) -> Vec<HeaderValue> {
    let values = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_path_is_stripped_from_requests_and_put_into_answers() {
        assert_eq!(path_of(Some("https://a.example/codes/")).as_deref(), Some("/codes"));
        assert_eq!((path_of(Some("https://a.example")), path_of(None)), (None, None));
        for (given, stripped) in [
            ("/codes/verify?x=1", "/verify?x=1"),
            ("/codes", "/"),
            ("/codesx/verify", "/codesx/verify"),
            ("/verify", "/verify"),
        ] {
            let mut request = Request::builder().uri(given).body(()).expect("a request");
            strip(&mut request, "/codes");
            assert_eq!(request.uri(), stripped);
        }
        let response = Response::builder()
            .header("location", "/verify")
            .header("set-cookie", "a=1; Path=/verify; HttpOnly")
            .header("set-cookie", "__Host-a=1; Path=/; Secure")
            .header("content-type", "text/html; charset=utf-8")
            .body(Body::from("<form action=\"/verify/send\"><a href=\"https://b.example/\">"))
            .expect("a response");
        let response = put(response, "/codes").await;
        assert_eq!(response.headers()["location"], "/codes/verify");
        let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1; Path=/codes/verify; HttpOnly", "__Host-a=1; Path=/; Secure"]);
        let page = to_bytes(response.into_body(), usize::MAX).await.expect("a page");
        assert_eq!(page, "<form action=\"/codes/verify/send\"><a href=\"https://b.example/\">".as_bytes());
        for elsewhere in ["https://b.example/", "//b.example"] {
            let response =
                Response::builder().header("location", elsewhere).body(Body::empty()).expect("a response");
            assert_eq!(put(response, "/codes").await.headers()["location"], elsewhere);
        }
    }
}
