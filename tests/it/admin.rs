//! The dashboard, as a browser without JavaScript uses it.

use crate::support::prelude::*;

#[tokio::test]
async fn the_account_and_admin_keys_for_all_services_may_sign_in_and_no_others() {
    let world = World::of(V2::account(Setup::new())).await;
    V2::of(&world).service(&[]).await;
    let key = async |options: &[&str]| world.setup.new_key(options).await;
    let shown = |sid: &str, secret: &str| json!({ "sid": sid, "secret": secret });
    for (credentials, status) in [
        (shown(OWN_ACCOUNT, OWN_TOKEN), 303),
        (key(&["--scope", "admin", "--name", "anna"]).await, 303),
        (key(&["--scope", "verify"]).await, 403),
        (key(&["--scope", "metrics"]).await, 403),
        (key(&["--scope", "admin", "--service", "Owl Bank"]).await, 403),
        (shown(OWN_ACCOUNT, "not-the-token"), 401),
        (shown("SK0123456789abcdef0123456789abcdef", OWN_TOKEN), 401),
        (shown("", ""), 401),
    ] {
        let (user, secret) = (text(&credentials, "sid"), text(&credentials, "secret"));
        let answer = sign_in(&world, user, secret).await;
        assert_eq!(answer.status(), status, "{user}: {}", answer.text());
        assert_eq!(answer.header("set-cookie").is_empty(), status != 303, "{user}");
        assert!(secret.is_empty() || !answer.text().contains(secret), "{}", answer.text());
    }
    let anonymous = world.get("/admin").await;
    assert_eq!((anonymous.status(), anonymous.header("location")), (303, "/admin/sign-in"));
    world.post("/admin/search", "number=%2B14155550123").await.expects_status(401);
    assert!(!world.server.output().text().contains(OWN_TOKEN));
}

#[tokio::test]
async fn a_session_is_a_cookie_for_this_host_and_ends_with_sign_out_or_its_key() {
    let world = World::of(V2::account(Setup::new())).await;
    let answer = sign_in(&world, OWN_ACCOUNT, OWN_TOKEN).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("onceward="), "{cookie}");
    assert!(cookie.ends_with("; Path=/admin; HttpOnly; SameSite=Strict"), "{cookie}");
    let visitor = Visitor::of(&world).await;
    let page = visitor.get("/admin").await.expects_status(200);
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; "), "{policy}");
    assert!(!policy.contains("unsafe") && policy.ends_with("frame-ancestors 'none'"), "{policy}");
    assert_eq!(visitor.post("/admin/sign-out", &[]).await.header("location"), "/admin/sign-in");
    assert_eq!(visitor.get("/admin").await.status(), 303, "the id is void, not only the cookie");

    let (admin, sid) = Visitor::with_new_key(&world, &["--scope", "admin"]).await;
    assert_eq!(admin.get("/admin").await.status(), 200);
    let owner = Visitor::of(&world).await;
    owner.post("/admin/keys", &[("action", "revoke"), ("key", &*sid)]).await.expects_status(303);
    let looked_up = admin.post("/admin/search", &[("q", "+14155550123")]).await;
    looked_up.expects_status(401).says(["You are signed out"]);
}

#[tokio::test]
async fn the_secret_is_asked_for_only_over_tls_or_at_an_own_address() {
    let world = World::of(V2::account(Setup::new())).await;
    let refused = world.post_form("/admin/sign-in", &[("host", "192.0.2.7:3000")], &OWNER).await;
    refused.expects_status(403).says(["trusted-proxies"]);
    let proxied = Setup::new()
        .config("trusted-proxies", json!(["127.0.0.1"]))
        .config("client-address-header", "X-Forwarded-For");
    let proxied = World::of(V2::account(proxied)).await;
    let claimed = [("host", "codes.example"), ("x-forwarded-proto", "https")];
    let answer = proxied.post_form("/admin/sign-in", &claimed, &OWNER).await;
    answer.header("set-cookie").says(["__Host-onceward=", "; Path=/; HttpOnly; SameSite=Strict; Secure"]);
    // Any client can claim to be a proxy.
    world.post_form("/admin/sign-in", &claimed, &OWNER).await.expects_status(403);
    for (host, forwarded) in [
        ("codes.example", ("x-forwarded-proto", "http")),
        ("codes.example", ("x-forwarded-for", "192.0.2.7")),
        ("codes.example", ("accept", "text/html")),
        ("127.0.0.1:3000", ("x-forwarded-for", "192.0.2.7")),
        ("127.0.0.1:3000", ("x-forwarded-port", "80")),
    ] {
        let headers = [("host", host), forwarded];
        for world in [&proxied, &world] {
            world.post_form("/admin/sign-in", &headers, &OWNER).await.expects_status(403);
            let page = world.get_with("/admin/sign-in", &headers).await;
            assert!(!page.text().contains("name=\"secret\""), "{headers:?}");
        }
    }
}

#[tokio::test]
async fn a_form_counts_only_with_the_token_of_its_session_and_from_this_site() {
    let world = World::of(V2::account(Setup::new())).await;
    let (number, _) = world.locked_out().await;
    let visitor = Visitor::of(&world).await;
    let other = Visitor::of(&world).await;
    let path = visitor.look_up(&number).await;
    let service = default_service(&world).await;
    let unlock = [("service", service.as_str()), ("action", "unlock")];
    for token in ["", "0", other.token.as_str()] {
        visitor.post_with(&path, &[], token, &unlock).await.expects_status(403);
    }
    for foreign in [
        ("origin", "https://evil.example"),
        ("origin", "http://127.0.0.1:1"),
        ("origin", "null"),
        ("sec-fetch-site", "same-site"),
    ] {
        visitor.post_with(&path, &[foreign], &visitor.token, &unlock).await.expects_status(403);
        world.post_form("/admin/sign-in", &[foreign], &OWNER).await.expects_status(403);
    }
    assert!(visitor.get(&path).await.text().contains(">locked<"));
    let origin = format!("http://{}", world.address());
    let own = [("origin", origin.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(visitor.post_with(&path, &own, &visitor.token, &unlock).await.status(), 303);
    other.get(&path).await.expects_status(200).says([&number]);
}

#[tokio::test]
async fn a_locked_number_is_masked_in_the_list_and_can_be_unlocked_there() {
    let world = World::of(V2::account(Setup::new())).await;
    let (number, code) = world.locked_out().await;
    let (visitor, admin) = Visitor::with_new_key(&world, &["--scope", "admin", "--name", "anna"]).await;
    let page = visitor.get("/admin").await.text();
    assert!(page.contains(&masked(&number)) && !page.contains(&number[1..]), "{page}");
    let path = between(&page, "id=\"lockout-1\" href=\"", "\"").to_owned();
    let page = visitor.get(&path).await.text();
    page.says([&number, ">locked<", "5 in a row"]);
    assert!(!page.contains(&code) && !path.contains(&number[1..]));
    let service = default_service(&world).await;
    let done = visitor.post(&path, &[("action", "unlock"), ("service", &service)]).await;
    assert_eq!(world.send(&number).await.status(), 200);

    let entry = V2::of(&world).audited("number.unlocked").await;
    let actor =
        ["actor", "actor_sid", "actor_name", "number"].map(|field| entry[field].as_str().unwrap_or("-"));
    assert_eq!(actor, ["session", &admin, "anna", &masked(&number)], "{entry}");
    assert_eq!(entry["request_id"], done.header("x-request-id"), "{entry}");
    visitor.get("/admin/audit").await.says(["number.unlocked", "session anna", &masked(&number)]);
    assert!(!world.server.output().text().contains(&number[1..]), "the log has no number");
}

#[tokio::test]
async fn a_verification_can_be_canceled() {
    let (world, visitor) = signed_in(Setup::new()).await;
    let v2 = V2::of(&world);
    let service = v2.service(&[]).await;
    let (number, service_sid) = (world.number(), &service["/Services/".len()..]);
    let begun = v2.begins(&service, &number).await;
    let code = world.twilio().code_for(&number);
    v2.checks(&service, &sid(&begun), &wrong(&code)).await;
    let path = visitor.look_up(&format!(" {} {} ", &number[..5], &number[5..])).await;
    let page = visitor.get(&path).await.text();
    page.says(["Owl Bank", "pending, expires", "4 checks left", &sid(&begun)]);
    assert!(!page.contains(&code), "{page}");
    visitor.post(&path, &[("action", "cancel"), ("service", service_sid)]).await;
    visitor.get(&path).await.says(["is canceled.", "<dd>canceled"]);
    assert_ne!(v2.checks(&service, &sid(&begun), &code).await.status(), 200);

    for other in [sid(&begun), format!("VE{}", "0".repeat(32)), "7".to_owned()] {
        let unknown = visitor.get(&format!("/admin/numbers/{other}")).await;
        assert_eq!(unknown.header("location"), "/admin", "{other}");
    }
}

#[tokio::test]
async fn entries_of_the_guard_are_made_and_removed_on_the_dashboard() {
    let (world, visitor) = signed_in(Setup::new()).await;
    let (number, service) = (world.number(), default_service(&world).await);
    let block = [("subject", number.as_str()), ("service", service.as_str()), ("action", "block")];
    let page = visitor.submit("/admin/guard", &block).await.text();
    page.says([format!("{} is blocked", masked(&number))]);
    assert_eq!(world.send(&number).await.status(), 403);
    for (action, status) in [("remove", 200), ("known-only", 403)] {
        let page = visitor.get("/admin/guard").await.text();
        let subject = between(&page, &format!("name=\"change\" value=\"{action} "), "\"");
        let change = format!("{action} {subject}");
        let form = [("change", change.as_str()), ("minutes", "120")];
        visitor.post("/admin/guard", &form).await.expects_status(303);
        assert_eq!(world.send(&number).await.status(), status, "{action}");
    }
    let nothing = [("subject", "no-subject"), ("action", "block")];
    visitor.submit("/admin/guard", &nothing).await.says(["Nothing was changed", "value=\"no-subject\""]);
}
