//! The hosted page, as a browser without JavaScript uses it, and what attackers try with it. Every form leads to the page
//! again, which tells what came of it.

use crate::support::prelude::*;

const RETURN: &str = "https://app.example/verified?from=onceward";
const NUMBER: &str = "+14155550123";

#[tokio::test]
async fn a_person_verifies_a_number_and_the_application_learns_it_once() {
    let site = Site::new().await;
    let session = site.session(&[("State", "s 1"), ("Locale", "de")]).await;
    for _ in 0..2 {
        // Links are only followed.
        site.world.get(&session.path).await.says([
            "<html lang=\"de\" dir=\"ltr\">",
            "type=\"tel\"",
            "DE +49",
        ]);
    }
    let person = session.open(&site).await;
    let national = [("number", "415 555-0123"), ("country", "US")];
    person.post("/verify/send", &national).await.expects_status(303);
    person.told("change", &[]).await.says(["Owl Bank", "type=\"tel\"", "Code senden"]);
    person.post("/verify/send", &national).await.expects_status(303);
    let page = person.get("/verify").await.text();
    page.says(["+1 415-555-0123", "<title>Code – Bestätigen", "autocomplete=\"one-time-code\""]);
    assert!((1..=30).contains(&between(&page, "data-wait=\"", "\"").parse().expect("seconds")));
    let code = code_of(&site).await;
    person.told("check", &[("code", &wrong(&code))]).await.says(["<title>Der Code ist falsch"]);
    let spaced = format!(" {} {}", &code[..3], &code[3..]);
    let back = person.post("/verify/check", &[("code", &spaced)]).await.expects_status(303);
    let (address, result) = back.header("location").split_once("&code=").expect("a code");
    assert_eq!(address, RETURN);
    let (secret, state) = result.split_once('&').expect("a state");
    assert_eq!((secret.len(), state), (64, "state=s+1"));

    let result = site.redeem(&session.sid, secret).await.expects_status(200);
    let shown = result.json();
    let fields = ["status", "to", "channel"].map(|field| shown[field].clone());
    assert_eq!(fields, ["approved", NUMBER, "sms"]);
    assert_eq!(site.redeem(&session.sid, secret).await.status(), 404, "redeemed twice");
    assert_eq!(person.get("/verify").await.status(), 404);

    // Without `Locale` the message has the service's language, else the page's.
    for (number, locale, words) in
        [("+14155550124", "", "Ihr Code lautet"), ("+14155550125", "fr", "votre code est")]
    {
        site.v2.post(&site.service, &[("Locale", locale)]).await.expects_status(200);
        let german = Visitor { headers: vec![("accept-language", "de-DE,de;q=0.9")], ..site.person().await };
        german.post("/verify/send", &[("number", number)]).await.expects_status(303);
        text(&inbox(&site.world, number).await[0], "text").says([words]);
    }
}

#[tokio::test]
async fn the_page_keeps_the_country_of_a_mistyped_number_and_reads_a_pasted_message() {
    let site = Site::new().await;
    let person = Visitor { headers: vec![("accept-language", "en-US")], ..site.person().await };
    // A digit too many for Spain; in the browser's country it would be the number of a stranger.
    let form = [("number", "612 34 56 789"), ("country", "ES")];
    let page = person.told("send", &form).await;
    page.says(["This is not a valid phone number.", "value=\"ES\" selected", "value=\"612 34 56 789\""]);
    assert!(!page.text().contains("one-time-code") && inbox(&site.world, "+16123456789").await.is_empty());
    person.told("send", &[("number", "415 555 0123"), ("country", "US")]).await.says(["one-time-code"]);
    let code = code_of(&site).await;
    for text in ["12", "abc", "abcdef", "Your code is 1234", &format!("{code} or {code}"), "order 1234567"] {
        person.told("check", &[("code", text)]).await.says(["The code has 6 digits."]);
    }
    let message = format!("{code} is your Owl Bank code. It is valid for 10 minutes.");
    person
        .post("/verify/check", &[("code", &message)])
        .await
        .expects_status(303)
        .header("location")
        .says([RETURN]);
}

#[tokio::test]
async fn an_address_works_in_one_browser_only() {
    let site = Site::new().await;
    let session = site.session(&[]).await;
    let person = session.open(&site).await;
    let again = site.world.post(&session.path, "").await;
    assert_eq!((again.status(), again.header("set-cookie")), (404, ""), "{}", again.text());
    assert_eq!(site.world.get(&session.path).await.status(), 404);
    let twice = site.world.post_with(&session.path, &[("cookie", &person.cookie)], "").await;
    assert_eq!((twice.status(), twice.header("location")), (303, "/verify"), "the same browser goes on");
    let token = session.path.trim_start_matches("/verify/");
    for cookie in [format!("onceward-verify={token}"), "onceward-verify=x".to_owned()] {
        let stranger = Visitor { cookie, token: String::new(), ..person.clone() };
        assert_eq!(stranger.get("/verify").await.status(), 404);
    }
    assert_eq!(site.world.get(&format!("/verify/{}", "A".repeat(64))).await.status(), 404);
    assert!(!site.world.server.output().text().contains(token), "no log line has the address");
}

#[tokio::test]
async fn forms_of_other_sites_and_of_other_sessions_do_nothing() {
    let site = Site::new().await;
    let [one, other] = [site.session(&[]).await, site.session(&[]).await];
    let foreign = ("origin", "https://evil.example");
    site.world.post_with(&one.path, &[foreign], "").await.expects_status(403);
    let (person, stranger) = (one.open(&site).await, other.open(&site).await);
    let form = [("number", NUMBER)];
    for token in ["", "0", &stranger.token] {
        let forged = Visitor { token: token.to_owned(), ..person.clone() };
        assert_eq!(forged.post("/verify/send", &form).await.status(), 403, "{token}");
    }
    person.post_with("/verify/send", &[foreign], &person.token, &form).await.expects_status(403);
    assert!(inbox(&site.world, NUMBER).await.is_empty());
    assert_eq!(person.post("/verify/send", &form).await.status(), 303);
    let elsewhere = stranger.told("check", &[("code", &code_of(&site).await)]).await;
    elsewhere.says(["Something went wrong", "name=\"number\""]);
}

#[tokio::test]
async fn only_listed_return_urls_and_origins_are_accepted() {
    let site = Site::new().await;
    for form in [
        &[("ReturnUrl", "https://app.example/verified")][..],
        &[("ReturnUrl", "https://app.example/verified?from=onceward#x")],
        &[("EmbedOrigin", "https://app.example.evil.example")],
        &[("ReturnUrl", RETURN), ("EmbedOrigin", "https://app.example")],
        &[],
        &[("ReturnUrl", RETURN), ("To", NUMBER), ("ToHint", NUMBER)],
        &[("ReturnUrl", RETURN), ("Channels", "sms,sms")],
    ] {
        site.v2.post(&site.path(), form).await.expects_status(400);
    }
    let script = [("ReturnUrls", "javascript:alert(1)")];
    site.v2.post(&site.service, &script).await.expects_status(400).says(["ReturnUrls"]);
}

#[tokio::test]
async fn a_form_with_the_right_code_that_is_sent_twice_is_never_called_wrong() {
    let site = Site::new().await;
    for round in 0..10 {
        let person = site.person().await;
        person.post("/verify/send", &[("number", NUMBER)]).await.expects_status(303);
        let code = code_of(&site).await;
        let form = [("code", code.as_str())];
        let (one, two) =
            tokio::join!(person.post("/verify/check", &form), person.post("/verify/check", &form));
        let is_told = |done: &HttpResponse| done.header("set-cookie").contains("notice");
        assert!(!is_told(&one) && !is_told(&two), "round {round}: {one:?} {two:?}");
        let repeated = person.post("/verify/check", &form).await.expects_status(303);
        assert!(repeated.header("location").starts_with(RETURN), "round {round}: {repeated:?}");
    }
}

#[tokio::test]
async fn after_five_wrong_codes_the_page_says_for_how_long_and_takes_another() {
    let site = Site::new().await;
    let person = site.person().await;
    person.post("/verify/send", &[("number", NUMBER)]).await.expects_status(303);
    let right = code_of(&site).await;
    let wrong = (0..).map(|guess| format!("{guess:06}")).filter(|guess| *guess != right);
    let mut page = String::new();
    for guess in wrong.take(5) {
        page = person.told("check", &[("code", &guess)]).await.text();
    }
    let words = "Too many attempts. You can try again in 10 min.";
    page.says([&*format!("<title>{words} – Verify your phone number</title>"), "name=\"number\""]);
    let left = person.post("/verify/cancel", &[]).await.expects_status(303);
    assert_eq!(left.header("location"), format!("{RETURN}&error=too_many_attempts"));
    site.person().await.told("send", &[("number", NUMBER)]).await.says([words]);
}

#[tokio::test]
async fn a_session_that_is_over_leads_back_with_an_error() {
    let (time, setup) = Shifted::over(Setup::new());
    let site = Site::with(setup).await;
    let (unopened, opened) = (site.session(&[("State", "7")]).await, site.session(&[("Locale", "de")]).await);
    let person = opened.open(&site).await;
    time.by(15 * 60);
    // A restart takes the new time.
    let Site { world, .. } = site;
    let world = world.restart_after_kill().await;
    let person = Visitor { client: world.server.client.clone(), ..person };
    let pages = [world.get(&unopened.path).await, person.get("/verify").await];
    for (page, query) in pages.iter().zip(["error=expired&#38;state=7", "error=expired"]) {
        assert_eq!(page.status(), 404);
        page.says(["Owl Bank".to_owned(), format!("href=\"{RETURN}&#38;{query}\"")]);
    }
    pages[1].says(["abgelaufen", ">Weiter</a>"]);
    let late =
        [person.post("/verify/send", &[("number", NUMBER)]).await, world.post(&unopened.path, "").await];
    let places = late.map(|late| late.expects_status(303).header("location").to_owned());
    assert_eq!(places, ["/verify", &unopened.path], "a reload sends no form");
    assert!(inbox(&world, NUMBER).await.is_empty());
}

#[tokio::test]
async fn a_session_goes_no_further_while_its_return_address_is_not_listed() {
    let site = Site::new().await;
    let unopened = site.session(&[]).await;
    let verifier = site.session(&[]).await.open(&site).await;
    let framed = site.session_with(&[("EmbedOrigin", "https://b.example")]).await.open(&site).await;
    assert_eq!(verifier.post("/verify/send", &[("number", NUMBER)]).await.status(), 303);
    let code = code_of(&site).await;
    let listed = [("ReturnUrls", "https://app.example/other"), ("EmbedOrigins", "https://app.example")];
    assert_eq!(site.v2.post(&site.service, &listed).await.status(), 200);

    let refused = verifier.post("/verify/check", &[("code", &code)]).await;
    assert_eq!((refused.status(), refused.header("location")), (403, ""));
    refused.says(["We can no longer take you back to the site."]);
    let canceled = verifier.post("/verify/cancel", &[]).await;
    for page in [canceled, framed.get("/verify").await, site.world.get(&unopened.path).await] {
        assert_eq!((page.status(), page.header("location")), (403, ""), "{}", page.text());
        assert!(!page.text().contains("<form"), "{}", page.text());
    }
    let back = [("ReturnUrls", RETURN), ("EmbedOrigins", "https://b.example")];
    assert_eq!(site.v2.post(&site.service, &back).await.status(), 200);
    framed.get("/verify").await.expects_status(200).says(["type=\"tel\""]);
    let done = verifier.post("/verify/check", &[("code", &code)]).await.expects_status(303);
    done.header("location").says([format!("{RETURN}&code=")]);
}

#[tokio::test]
async fn an_empty_allowance_asks_for_the_operators_challenge_or_for_patience() {
    let (twilio, captcha) = (Twilio::start().await, Captcha::start().await);
    let guarded = || {
        through(&twilio.base_url(), Setup::new())
            .config("guard", json!({ "blocked-countries": ["DE"] }))
            .config("bounds.guard-other-countries", 2)
    };
    let alone = Site::with(guarded()).await;
    let site = Site::with(captcha.required(guarded(), false)).await;
    for site in [&alone, &site] {
        for number in ["+14155550122", NUMBER] {
            site.person().await.told("send", &[("number", number)]).await.says(["name=\"code\""]);
        }
    }
    let later = alone.person().await.told("send", &[("number", "+14155550124")]).await;
    later.says(["We cannot send a code now. Please try again later."]);

    let before = twilio.received().len();
    let blocked = site.person().await.told("send", &[("number", "+4915123456789")]).await;
    blocked.says(["We cannot send a code to this number."]);

    let person = site.person().await;
    person.told("send", &[("number", "+14155550124")]).await.says(["data-sitekey"]);
    person.told("send", &[("g-recaptcha-response", "a-bot")]).await.says(["data-sitekey"]);
    assert_eq!(twilio.received().len(), before);
    person.told("send", &[("g-recaptcha-response", PERSON)]).await.says(["name=\"code\""]);
    assert_eq!(twilio.received().len(), before + 1);
    let asked = captcha.received();
    assert!(asked.iter().all(|asked| asked.form.len() == 2), "only the secret and the response");
}

#[tokio::test]
async fn a_challenge_counts_if_its_service_answers_and_names_the_pages_host() {
    let captcha = Captcha::start().await;
    let setup = captcha.required(Setup::new(), true);
    let site = Site::with(setup.config("public-url", "https://otp.example.com")).await;
    let passes = async |host: &str| {
        let response = format!("{PERSON}@{host}");
        let form = [("number", NUMBER), ("g-recaptcha-response", &*response)];
        site.person().await.told("send", &form).await.text().contains("name=\"code\"")
    };
    for (host, expected) in
        [("otp.example.com", true), ("OTP.example.com", true), ("evil.example", false), ("", false)]
    {
        assert_eq!(passes(host).await, expected, "{host}");
    }
    site.world.server.logs_times(2, "WARN", "challenge passed on another host, not accepted").await;
    captcha.otherwise(Reply::ServerError(503));
    assert!(!passes("otp.example.com").await);
    site.world.server.line("challenge service unavailable").await;
}

#[tokio::test]
async fn an_embedded_page_is_framed_by_its_origin_and_tells_only_that() {
    let setup = Setup::new()
        .config("trusted-proxies", json!(["127.0.0.1"]))
        .config("client-address-header", "X-Forwarded-For")
        .config("public-url", "https://codes.example");
    let site = Site::with(setup).await;
    let form = [("EmbedOrigin", "https://app.example"), ("State", "\"<s>")];
    let Session { sid, path } = site.session_with(&form).await;
    let tls = [("host", "codes.example"), ("x-forwarded-proto", "https")];
    let start = site.world.get_with(&path, &tls).await;
    assert!(start.header("content-security-policy").ends_with("frame-ancestors https://app.example"));
    let opened = site.world.post_with(&path, &tls, "").await;
    let cookie = opened.header("set-cookie");
    assert!(cookie.starts_with("__Host-onceward-verify="), "{cookie}");
    assert!(cookie.contains("; HttpOnly; Path=/; Secure; SameSite=None; Partitioned;"), "{cookie}");
    let own = site.session(&[]).await;
    let opened_own = site.world.post_with(&own.path, &tls, "").await;
    // As long as the record, which leads the person back when the session's time is over.
    opened_own.header("set-cookie").says(["; Secure; SameSite=Lax; Max-Age=3600"]);
    let person = Visitor::after(&site.world, &opened, "/verify", &tls).await;
    assert_eq!(person.post("/verify/send", &[("number", NUMBER)]).await.status(), 303);
    let done = person.post("/verify/check", &[("code", &code_of(&site).await)]).await.expects_status(200);
    assert!(done.header("content-security-policy").ends_with("frame-ancestors https://app.example"));
    let page = done.text();
    page.says([" data-origin=\"https://app.example\" data-code=\"", " data-state=\"&#34;&#60;s&#62;\""]);
    let code = between(&page, " data-code=\"", "\"");
    assert_eq!(site.redeem(&sid, code).await.status(), 200);

    // Over TLS the browser may fill in the code of the public host, whatever host the person's request names.
    let foreign = [("host", "other.example"), ("x-forwarded-proto", "https")];
    let person = Visitor::after(&site.world, &opened_own, "/verify", &foreign).await;
    assert_eq!(person.post("/verify/send", &[("number", "+14155550124")]).await.status(), 303);
    let message = inbox(&site.world, "+14155550124").await.remove(0);
    let line = format!("\n\n@codes.example #{}", text(&message, "code"));
    assert!(text(&message, "text").ends_with(&line), "{message}");

    let cleartext = [("host", "codes.example"), ("x-forwarded-proto", "http")];
    site.world.get_with("/verify", &cleartext).await.expects_status(403).says(["needs TLS"]);
}

/// A server with a service that may return to [`RETURN`].
struct Site {
    world: Running<()>,
    v2: V2,
    service: String,
}

impl Site {
    async fn new() -> Self {
        Self::with(Setup::new()).await
    }

    async fn with(setup: Setup) -> Self {
        let world = Running::alone(V2::account(setup)).await;
        let v2 = V2::of(&world);
        let listed = [("ReturnUrls", RETURN), ("EmbedOrigins", "https://app.example https://b.example")];
        let service = v2.service(&listed).await;
        Self { world, v2, service }
    }

    async fn person(&self) -> Visitor {
        self.session(&[]).await.open(self).await
    }

    fn path(&self) -> String {
        format!("{}/HostedSessions", self.service)
    }

    async fn session(&self, form: &[(&str, &str)]) -> Session {
        self.session_with(&[&[("ReturnUrl", RETURN)], form].concat()).await
    }

    async fn session_with(&self, form: &[(&str, &str)]) -> Session {
        Session::of(&self.v2.post(&self.path(), form).await.expects_status(201))
    }

    async fn redeem(&self, sid: &str, code: &str) -> HttpResponse {
        self.v2.post(&format!("{}/{sid}/Result", self.path()), &[("Code", code)]).await
    }
}

struct Session {
    sid: String,
    path: String,
}

impl Session {
    fn of(made: &HttpResponse) -> Self {
        let url = made.json()["url"].as_str().expect("a url").to_owned();
        Self { sid: sid(made), path: url[url.find("/verify/").expect("the page")..].to_owned() }
    }

    /// Presses the button at the address.
    async fn open(&self, site: &Site) -> Visitor {
        let opened = site.world.post(&self.path, "").await;
        assert_eq!((opened.status(), opened.header("location")), (303, "/verify"), "{}", opened.text());
        Visitor::after(&site.world, &opened, "/verify", &[]).await
    }
}

impl Visitor {
    /// Sends the form. Returns the page that it leads to.
    async fn told(&self, step: &str, form: &[(&str, &str)]) -> HttpResponse {
        let done = self.post(&format!("/verify/{step}"), form).await.expects_status(303);
        assert_eq!(done.header("location"), "/verify");
        let notice = done.header("set-cookie").split(';').next().unwrap_or_default();
        let cookie = format!("{}; {notice}", self.cookie);
        Self { cookie, ..self.clone() }.get("/verify").await.expects_status(200)
    }
}

/// The code of the newest message to [`NUMBER`].
async fn code_of(site: &Site) -> String {
    text(&inbox(&site.world, NUMBER).await[0], "code").to_owned()
}
