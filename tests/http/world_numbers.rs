//! The table of the world, `tests/facts/numbers.tsv`: what the example numbers of all countries get by default.

use onceward_testkit::{V2World, get, json, post, send_body_to, sid};
use serde_json::{Value, json};

const RETURN: &str = "https://app.example/";

/// The page does not say why a number is refused.
const CANNOT_SEND: &str = "We cannot send a code to this number.";

#[tokio::test]
async fn by_default_every_type_of_every_country_is_sent_or_refused() {
    let world = V2World::new().await;
    let page = world.post("/v2/Services", &[("FriendlyName", "Page"), ("ReturnUrls", RETURN)]).await;
    let sessions = format!("/v2/Services/{}/HostedSessions", sid(&json(&page)));
    let mut wrong = Vec::new();
    let path = world.below("/Verifications");
    let send = async |to: &str| json(&world.post(&path, &[("To", to), ("Channel", "sms")]).await);
    let lookup = async |text: &str| {
        let text = text.replace(' ', "%20");
        json(&world.get(&format!("/v2/PhoneNumbers/{text}?Fields=line_type_intelligence")).await)
    };
    let lines = include_str!("../facts/numbers.tsv").lines().filter(|line| !line.starts_with('#'));
    for (n, line) in lines.enumerate() {
        let cells: Vec<_> = line.split('\t').collect();
        // In E.164, international and RFC 3966 form.
        let [line_type, e164, international, link, outcome] = cells[1..6] else { panic!("{line}") };
        let forms = [e164, international, link];
        // The number that gets the message.
        let to = cells.get(6).copied().unwrap_or(e164);
        let (of_v2, of_api, of_page) = match outcome {
            "sent" => (to, 200, "one-time-code"),
            "60200" => (outcome, 400, "This is not a valid phone number."),
            "60205" => (outcome, 400, CANNOT_SEND),
            _ => (outcome, 403, CANNOT_SEND),
        };
        // Each route gets another form, and each form each route.
        let [text, of_number, typed] = [0, 1, 2].map(|route| forms[(n + route) % 3]);
        let v2 = send(text).await;
        let v2 = v2["to"].as_str().map_or_else(|| v2["code"].to_string(), str::to_owned);
        let api = world.world.post("/api/send-otp", &send_body_to(of_number)).await;
        let user = &json(&api)["data"]["user"];
        let is_named = user.is_null() || user["phoneNumber"] == forms[0];
        let page = on_page(&world, &sessions, typed).await;
        if (&*v2, api.status) != (of_v2, of_api) || !is_named || !page.contains(of_page) {
            wrong.push(format!("{text}: {v2} in place of {outcome}; {of_number}: {}; {typed}", api.body));
        }

        let found = lookup(typed).await;
        let shown = (&found["valid"], &found["phone_number"], &found["line_type_intelligence"]["type"]);
        if outcome != "60200" && shown != (&json!(true), &json!(to), &of_lookup(line_type)) {
            wrong.push(format!("{typed}: {found} in place of {line_type} {to}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lookup's word for a type of libphonenumber.
fn of_lookup(line_type: &str) -> Value {
    match line_type {
        "fixed_line" => json!("landline"),
        "fixed_line_or_mobile" => json!(null),
        "toll_free" => json!("tollFree"),
        "voip" => json!("nonFixedVoip"),
        "premium_rate" => json!("premium"),
        "shared_cost" => json!("sharedCost"),
        "personal_number" => json!("personal"),
        same => json!(same),
    }
}

/// What the hosted page shows behind the form with the number.
async fn on_page(world: &V2World, sessions: &str, text: &str) -> String {
    let session = json(&world.post(sessions, &[("ReturnUrl", RETURN)]).await);
    let url = session["url"].as_str().expect("a url");
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("channel", "sms"), ("number", text)])
        .finish();
    // A browser on this machine.
    let ask = async |request: String, cookies: &str| {
        let headers = format!("host: {}\r\ncookie: {cookies}", world.world.address);
        world.world.ask(request.replacen("host: localhost", &headers, 1)).await
    };
    let told = ask(post(&url[url.find("/verify/").expect("the page")..], &form), "").await;
    assert_eq!((told.status, told.header("location")), (303, Some("/verify")), "{text}: {}", told.body);
    let cookies = told.headers.iter().filter(|(name, _)| name == "set-cookie");
    let cookies: Vec<_> = cookies.filter_map(|(_, value)| value.split(';').next()).collect();
    ask(get("/verify"), &cookies.join("; ")).await.body
}
