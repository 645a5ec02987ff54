//! What programs written for Twilio rely on, beyond error codes.

use hyper::Method;

use crate::support::prelude::*;

const ORIGIN: &str = "https://app.example.com";

#[tokio::test]
async fn pages_of_an_allowed_origin_may_call_the_api_and_no_others() {
    let (world, _) = World::with_account(Setup::new().config("cors-origins", json!([ORIGIN]))).await;
    let authorization = basic(OWN_ACCOUNT, OWN_TOKEN);
    let ask = async |method: Method, path: &str, origin: &str, more: &[(&str, &str)]| {
        let headers: Vec<_> = [("origin", origin)].iter().chain(more).copied().collect();
        world.request_with(method, path, &headers, "").await
    };
    let preflight = [("access-control-request-method", "POST")];
    let cross_site = [("authorization", authorization.as_str()), ("sec-fetch-site", "cross-site")];
    let allowed = ask(Method::OPTIONS, "/v2/Services", ORIGIN, &preflight).await.expects_status(200);
    let [origin, methods, headers] = ["origin", "methods", "headers"]
        .map(|name| allowed.header(&format!("access-control-allow-{name}")).to_owned());
    assert_eq!((&*origin, &*methods), (ORIGIN, "GET,POST,DELETE"));
    assert!(headers.contains("authorization"), "{headers}");
    let made = ask(Method::POST, "/v2/Services", ORIGIN, &cross_site).await;
    assert_eq!((made.status(), made.header("access-control-allow-origin")), (400, ORIGIN), "it was read");

    for origin in ["https://app.example.com.evil.example", "null"] {
        let refused = ask(Method::OPTIONS, "/v2/Services", origin, &preflight).await;
        assert_eq!(refused.header("access-control-allow-origin"), "", "{origin}");
        assert_eq!(ask(Method::POST, "/v2/Services", origin, &cross_site).await.status(), 403, "{origin}");
    }
}
