//! Twilio's error codes below `/v2`: for each the request that leads to it, its HTTP status, and that it is documented.

use std::collections::BTreeSet;

use crate::support::prelude::*;

/// Codes that say what is wrong with a request or a number. Those below are HTTP statuses in Twilio's spelling.
const FIRST: u64 = 60_000;

/// A request, and what it must be answered.
type Trigger = (&'static str, HttpResponse, u16, u64);

#[tokio::test]
async fn every_error_code_of_twilio_has_its_trigger_and_its_status() {
    let templates = json!({
        "door": { "channels": ["sms"], "default-locale": "en", "translations": { "en": "{code} opens {{door}}" } },
        "spoken": { "channels": ["call"], "default-locale": "en", "translations": { "en": "It is {code}" } },
    });
    let setup = Setup::new()
        .config("templates", templates)
        .config("bounds.commands-per-number", 1)
        .env("TWILIO_WHATSAPP_NUMBER", WHATSAPP_SENDER);
    let (world, v2) = World::with_account(setup).await;
    let mut triggers = of_verifications(&world, &v2).await;
    triggers.extend(of_resources(&world, &v2).await);

    let published = include_str!("../facts/twilio-errors.tsv");
    let mut seen = BTreeSet::new();
    for (trigger, answer, status, code) in triggers {
        let body = answer.json();
        assert_eq!((answer.status(), body["code"].as_u64()), (status, Some(code)), "{trigger}: {body}");
        assert_eq!(body["status"], status, "{trigger}");
        assert_eq!(body["more_info"], format!("https://www.twilio.com/docs/errors/{code}"), "{trigger}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{trigger}");
        seen.insert((code, status));
        let row = published.lines().find(|row| row.starts_with(&code.to_string())).expect("a code");
        let theirs = row.split('\t').nth(2);
        assert!(theirs.is_none_or(|theirs| theirs == status.to_string()), "{trigger}: {status}, not {row}");
    }
    assert_eq!(seen, documented(), "each documented code has a trigger, and each trigger is documented");
}

/// The codes of `docs/reference/errors.md`, with their statuses.
fn documented() -> BTreeSet<(u64, u16)> {
    let page = include_str!("../../docs/reference/errors.md");
    let (explained, others): (Vec<_>, Vec<_>) = page.lines().partition(|line| line.starts_with("* "));
    let explained = explained.iter().filter_map(|line| {
        let mut words = line.split([' ', ',']).skip(1).step_by(2);
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    });
    // "60207 (400)"
    let others = others.iter().flat_map(|line| line.split(", ")).filter_map(|place| {
        let (code, status) = place.rsplit_once(" (")?;
        let code = code.rsplit(' ').next()?;
        Some((code.parse().ok()?, status.split(')').next()?.parse().ok()?))
    });
    let codes = explained.chain(others);
    codes.filter(|(code, _)| *code >= FIRST).collect()
}

async fn of_verifications(world: &World, v2: &V2) -> Vec<Trigger> {
    let asks =
        async |service: &str, form: &[(&str, &str)]| v2.post(&format!("{service}/Verifications"), form).await;
    let (usual, number) = (v2.service(&[]).await, world.number());
    let (to, sms) = (("To", number.as_str()), ("Channel", "sms"));

    let once = v2.service(&[("MaxChecks", "1"), ("MaxSends", "1")]).await;
    let begun = sid(&v2.begins(&once, &number).await);
    let again = v2.begins(&once, &number).await;
    v2.checks(&once, &begun, &wrong(&world.twilio().code_for(&number))).await;
    let late = v2.checks(&once, &begun, "123456").await;

    // The first request is in progress until its gateway answers.
    let busy = world.number_with([Reply::Hang]);
    let second = async {
        world.twilio().arrived_for(&busy, 1).await;
        let second = v2.begins(&usual, &busy).await;
        world.twilio().release();
        second
    };
    let (_, second) = tokio::join!(v2.begins(&usual, &busy), second);
    let abroad = world.number_with([Reply::Refuse { status: 400, code: 21_408 }]);

    let listed = v2.get("/Templates").await.json();
    let named = |name: &str| {
        let mut templates = listed["templates"].as_array().expect("a list").iter();
        let found = templates.find(|template| template["friendly_name"] == name).expect("it");
        text(found, "sid").to_owned()
    };
    let with = async |template: &str| v2.begins_with(&usual, &number, &[("TemplateSid", template)]).await;

    let no_landlines = v2.service(&[("SkipSmsToLandlines", "true")]).await;
    let no_target = v2.post(&format!("{usual}/VerificationCheck"), &[("Code", "123456")]).await;
    let for_app = [to, ("Channel", "whatsapp"), ("AppHash", "FA+9qCX9VSu")];
    vec![
        ("no number", asks(&usual, &[("To", "owl"), sms]).await, 400, 60_200),
        ("a check after the last", late, 429, 60_202),
        ("a message after the last", again, 429, 60_203),
        ("a code of the caller", asks(&usual, &[to, sms, ("CustomCode", "123456")]).await, 403, 60_204),
        ("a landline", v2.begins(&no_landlines, "+493012345678").await, 403, 60_205),
        ("a second request at once", second, 429, 60_212),
        ("email", asks(&usual, &[("To", "owl@example.com"), ("Channel", "email")]).await, 400, 60_217),
        ("a check of nothing", no_target, 400, 60_221),
        ("a channel without a gateway", asks(&usual, &[to, ("Channel", "call")]).await, 400, 60_223),
        ("a place without a value", with(&named("door")).await, 400, 60_224),
        ("a template for calls", with(&named("spoken")).await, 400, 60_227),
        ("an unknown template", with("HJ00000000000000000000000000000000").await, 400, 60_228),
        ("a custom message", asks(&usual, &[to, sms, ("CustomMessage", "hi")]).await, 400, 60_243),
        ("a premium number", v2.begins(&usual, "+19002341234").await, 403, 60_410),
        ("an app hash without a text message", asks(&usual, &for_app).await, 400, 60_602),
        ("a country that is not allowed", v2.begins(&usual, &abroad).await, 403, 60_605),
    ]
}

async fn of_resources(world: &World, v2: &V2) -> Vec<Trigger> {
    let service = v2.service(&[]).await;
    let limits = format!("{service}/RateLimits");
    let limit = async |name: &str| v2.post(&limits, &[("UniqueName", name)]).await;
    let first = limit("limit.1").await.expects_status(201);
    let buckets = format!("{limits}/{}/Buckets", sid(&first));
    let bucket =
        async |interval: u32| v2.post(&buckets, &[("Max", "5"), ("Interval", &interval.to_string())]).await;
    let (twice, two_words) = (limit("limit.1").await, limit("two words").await);
    for number in 2..=25 {
        limit(&format!("limit.{number}")).await.expects_status(201);
    }
    for interval in 1..=10 {
        bucket(interval).await.expects_status(201);
    }

    let messaging = format!("{service}/MessagingConfigurations");
    let country = async |gateway: &str| {
        v2.post(&messaging, &[("Country", "DE"), ("MessagingServiceSid", gateway)]).await
    };
    // The error names the gateways.
    let unknown = country("MG00000000000000000000000000000000").await.text();
    let gateway = &unknown[unknown.find("configured: ").expect("a list") + "configured: ".len()..][..34];
    country(gateway).await.expects_status(201);
    let number = world.number();
    let safe = async || v2.post("/SafeList/Numbers", &[("PhoneNumber", &number)]).await;
    safe().await.expects_status(201);
    vec![
        ("one more rate limit", limit("one-more").await, 400, 60_207),
        ("a rate limit's name twice", twice, 400, 60_208),
        ("a rate limit's name of two words", two_words, 400, 60_209),
        ("one more bucket", bucket(11).await, 400, 60_210),
        ("a bucket's interval twice", bucket(10).await, 400, 60_211),
        ("a country's gateway twice", country(gateway).await, 400, 60_213),
        ("a safe number twice", safe().await, 400, 60_411),
    ]
}
