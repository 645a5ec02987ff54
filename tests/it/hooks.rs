//! Hooks of identity systems: payloads as each system sends them, and forged ones. The comment above each payload names the
//! file of the system's public sources that it was made from; `tests/facts/README.md` says when.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::prelude::*;

const TO: &str = "+14155550100";
/// The secrets of two Supabase projects, the second one with its old one.
const SUPABASE: [&str; 3] = [
    "v1,whsec_c3VwYWJhc2Utc2VjcmV0LW9uZS1mb3ItdGVzdHM=",
    "v1,whsec_c3VwYWJhc2Utc2VjcmV0LXR3by1mb3ItdGVzdHM=",
    "v1,whsec_c3VwYWJhc2Utc2VjcmV0LW9sZC1mb3ItdGVzdHM=",
];
const ZITADEL: &str = "zitadel-signing-key-0123456789ab";
const LOGTO: &str = "logto-signing-key-0123456789abcd";

async fn world() -> World {
    World::of(configured(Setup::new())).await
}

fn configured(setup: Setup) -> Setup {
    let [one, two, old] = SUPABASE;
    V2::account(setup)
        .config("services", json!({ "shop": { "friendly-name": "Acme Shop", "code-life": "5m" } }))
        .env("SUPABASE_HOOK_SECRETS", format!("{one}|shop:{two}|shop:{old}"))
        .env("ZITADEL_HOOK_KEYS", ZITADEL)
        .env("LOGTO_HOOK_KEYS", format!("shop:{LOGTO}"))
}

/// A hook of a system that sends its proof in one header.
async fn posts(world: &World, path: &str, proof: (&str, &str), body: &str) -> HttpResponse {
    let headers = [("content-type", "application/json"), proof];
    world.post_with(&format!("/hooks/{path}"), &headers, body.to_owned()).await
}

/// Seconds since 1970, so many ago.
#[expect(clippy::disallowed_methods, reason = "the server's clock is this machine's")]
fn ago(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    (now.as_secs() - seconds).to_string()
}

// supabase/auth@066aa48 internal/hooks/v0hooks/v0hooks.go (SendSMSInput), internal/models/user.go: numbers have no plus;
// docs/guides/auth/auth-hooks/send-sms-hook.
fn of_supabase(phone: &str, new_phone: &str, otp: &str) -> String {
    let payload = include_str!("hooks/supabase.json").replace("PHONE", phone);
    payload.replace("CHANGED", new_phone).replace("CODE", otp)
}

// supabase/auth@02a0786 internal/hooks/v0hooks/v0http/v0http.go (RunHTTPHook, generateSignatures): a signature for each
// secret, joined by a comma and a space.
async fn supabase(world: &World, secrets: &[&str], at: &str, signed: &str, body: &str) -> HttpResponse {
    let id = "7f8f2f4e-54a6-4b0e-8f6e-2f1f8c1b7a10";
    let signature = |secret: &&str| {
        let key = STANDARD.decode(secret.strip_prefix("v1,whsec_").expect("a secret")).expect("Base64");
        format!("v1,{}", STANDARD.encode(mac(&key, format!("{id}.{at}.{signed}"))))
    };
    let signatures = secrets.iter().map(signature).collect::<Vec<_>>().join(", ");
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", id),
        ("webhook-timestamp", at),
        ("webhook-signature", signatures.as_str()),
    ];
    world.post_with("/hooks/supabase", &headers, body.to_owned()).await
}

#[tokio::test]
async fn supabase_has_its_codes_sent_and_learns_of_a_failure_in_its_own_form() {
    let world = world().await;
    let body = of_supabase(&TO[1..], "", "123456");
    let sent = supabase(&world, &SUPABASE[..1], &ago(0), &body, &body).await.expects_status(200);
    assert_eq!((sent.text().as_str(), sent.header("content-type")), ("{}", "application/json"));
    assert_eq!(world.twilio().code_for(TO), "123456");

    // A number that is to be the user's, and a project that changes its secret.
    let body = of_supabase(&TO[1..], "14155550101", "654321");
    supabase(&world, &[SUPABASE[1], SUPABASE[2]], &ago(0), &body, &body).await.expects_status(200);
    let message = &world.twilio().messages_for("+14155550101")[0];
    message.field("Body").says(["Acme Shop", "654321"]);
    assert!((240..=300).contains(&message.field("ValidityPeriod").parse().expect("seconds")));
    // Before supabase/auth#2160 only `new_phone` had the number that is to be verified.
    let body = r#"{"user": {"phone": "", "new_phone": "14155550102"}, "sms": {"otp": "561173"}}"#;
    supabase(&world, &SUPABASE[..1], &ago(0), body, body).await.expects_status(200);
    assert_eq!(world.twilio().code_for("+14155550102"), "561173");

    world.twilio().plan("+14155550103", [Reply::Refuse { status: 400, code: 21_610 }]);
    for (body, code) in [(&*of_supabase("14155550103", "", "123456"), 403), ("[]", 400)] {
        let refused = supabase(&world, &SUPABASE[..1], &ago(0), body, body).await;
        // supabase/auth@ffe356d internal/hooks/hookserrors/hookserrors.go: read from a body with the status 200.
        let error = &refused.expects_status(200).json()["error"];
        assert_eq!(error["http_code"], code, "{error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    }
}

#[tokio::test]
async fn a_forged_or_old_hook_is_refused_and_logged() {
    let world = world().await;
    let body = of_supabase(&TO[1..], "", "123456");
    let other = "v1,whsec_YW4tYXR0YWNrZXItaGFzLWFub3RoZXItc2VjcmV0";
    for refused in [
        supabase(&world, &[other], &ago(0), &body, &body).await,
        supabase(&world, &SUPABASE[..1], &ago(0), &of_supabase(&TO[1..], "", "000000"), &body).await,
        supabase(&world, &SUPABASE[..1], &ago(301), &body, &body).await,
        supabase(&world, &[], &ago(0), &body, &body).await,
        zitadel(&world, "another-signing-key-0123456789ab", &ago(0), OF_ZITADEL).await,
        zitadel(&world, ZITADEL, &ago(301), OF_ZITADEL).await,
        logto_event(&world, "another-signing-key-0123456789ab", &sign_in("2026-11-20T10:00:00.000Z")).await,
        logto_event(&world, LOGTO, &sign_in("2020-01-01T00:00:00.000Z")).await,
        world.post("/hooks/logto", OF_LOGTO).await,
        okta(&world, &basic("SK0123456789abcdef0123456789abcdef", "wrong"), "SMS").await,
    ] {
        assert_eq!(refused.status(), 401, "{}", refused.text());
    }
    assert!(world.twilio().received().is_empty());
    let output = world.server.stop().await.output;
    output.says(["hook refused", "no key has made the signature", "supabase"]);
    for secret in SUPABASE.iter().chain(&[ZITADEL, LOGTO]) {
        assert!(!output.contains(secret.trim_start_matches("v1,whsec_")));
    }
}

#[tokio::test]
async fn a_replayed_hook_sends_nothing_while_its_signature_is_valid() {
    let services = json!({ "shop": { "friendly-name": "Acme Shop", "code-life": "1m" } });
    let (clock, setup) = Shifted::over(configured(Setup::new()).config("services", services));
    let world = World::of(setup).await;
    let (signed, body) = (ago(0), of_supabase(&TO[1..], "", "123456"));
    supabase(&world, &SUPABASE[1..2], &signed, &body, &body).await.expects_status(200);
    clock.by(200);
    let (world, _) = world.restart().await;
    let replayed = supabase(&world, &SUPABASE[1..2], &signed, &body, &body).await;
    assert_eq!((replayed.status(), replayed.json()), (200, json!({})), "{}", replayed.text());
    assert_eq!(world.twilio().received_for(TO).len(), 1);
}

// zitadel/zitadel@5982636 docs/docs/guides/manage/customize/notification-providers.mdx, which shows an email;
// recipientPhoneNumber is the field of a text message.
const OF_ZITADEL: &str = include_str!("hooks/zitadel.json");

// zitadel/zitadel@0e7a14e pkg/actions/signing.go (ComputeSignatureHeader).
async fn zitadel(world: &World, key: &str, at: &str, body: &str) -> HttpResponse {
    let signature = base16ct::lower::encode_string(&mac(key.as_bytes(), format!("{at}.{body}")));
    let header = format!("t={at},v1={},v1={signature}", "00".repeat(32));
    posts(world, "zitadel", ("zitadel-signature", &header), body).await
}

// logto-io/logto@1c9712f packages/connectors/connector-http-sms/src/index.ts, and @04e7f4b
// packages/toolkit/connector-kit/src/types/passwordless.ts (SendMessageData).
const OF_LOGTO: &str = include_str!("hooks/logto_message.json");

// logto-io/logto@08f6155 packages/core/src/libraries/hook/utils.ts (generateHookTestPayload).
fn sign_in(created: &str) -> String {
    include_str!("hooks/logto.json").replace("CREATED", created)
}

// The same file (sendWebhookRequest).
async fn logto_event(world: &World, key: &str, body: &str) -> HttpResponse {
    let signature = base16ct::lower::encode_string(&mac(key.as_bytes(), body));
    posts(world, "logto/events", ("logto-signature-sha-256", &signature), body).await
}

// okta/okta-sdk-golang okta/docs: TelephonyRequest.md @4c32cee, TelephonyRequestDataMessageProfile.md @341893c;
// developer.okta.com, telephony inline hook reference.
async fn okta(world: &World, authorization: &str, channel: &str) -> HttpResponse {
    let body = include_str!("hooks/okta.json").replace("CHANNEL", channel);
    posts(world, "okta", ("authorization", authorization), &body).await
}

#[tokio::test]
async fn zitadel_logto_and_okta_have_codes_sent_and_a_sign_in_is_the_outcome() {
    let world = world().await;
    let newest = || world.twilio().messages_for(TO).pop().expect("a message").field("Body").to_owned();
    zitadel(&world, ZITADEL, &ago(0), OF_ZITADEL).await.expects_status(200);
    newest().says(["PGZQTD"]);
    // By default a sign-in has the code under another name.
    let sign_in_code = OF_ZITADEL.replace("user.human.phone.code.added", "session.otp.sms.challenged");
    let sign_in_code =
        sign_in_code.replace(r#""code": "PGZQTD""#, r#""oTP": "12345678", "expiry": 300000000000"#);
    zitadel(&world, ZITADEL, &ago(0), &sign_in_code).await.expects_status(200);
    newest().says(["12345678"]);
    let no_number = r#"{"contextInfo": {"recipientPhoneNumber": "12"}, "args": {"code": "PGZQTD"}}"#;
    zitadel(&world, ZITADEL, &ago(0), no_number).await.expects_status(400);

    let key = authorization(&world.setup.new_key(&["--service", "shop", "--scope", "messages"]).await);
    posts(&world, "logto", ("authorization", &key), OF_LOGTO).await.expects_status(200);
    newest().says(["123456", "Acme Shop"]);
    let now = UNIX_EPOCH + Duration::from_secs(ago(0).parse().expect("seconds"));
    let created = humantime::format_rfc3339_seconds(now).to_string();
    logto_event(&world, LOGTO, &sign_in(&created)).await.expects_status(200);
    let attempts = V2::of(&world).get("/Attempts").await.json();
    assert_eq!(attempts["attempts"][0]["conversion_status"], "converted");

    let sent = okta(&world, &key, "SMS").await.expects_status(200).json();
    let command = &sent["commands"][0];
    assert_eq!(command["type"], "com.okta.telephony.action");
    assert_eq!(command["value"][0]["status"], "SUCCESSFUL");
    newest().says(["11111"]);
    // No gateway calls.
    let refused = okta(&world, &key, "VOICE CALL").await.expects_status(400).json();
    assert!(refused["error"]["errorCauses"][0]["errorSummary"].is_string(), "{refused}");
}
