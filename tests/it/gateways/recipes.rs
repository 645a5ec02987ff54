//! Gateways of `gateways`: recipes with names of their own.

use crate::support::prelude::*;

/// The gateways in the order of the routing: one reports in JSON, the other in a form. Each name ends with its recipe's.
/// `crates/gateway` tests every recipe.
const GATEWAYS: [&str; 2] = ["acme-vonage", "acme-plivo"];

/// The report that a message has not arrived, or has.
fn report(gateway: &str, id: &str, arrived: bool) -> String {
    match gateway {
        "acme-vonage" => {
            json!({"messageId": id, "status": if arrived { "delivered" } else { "failed" }}).to_string()
        }
        _ => format!("MessageUUID={id}&Status={}", if arrived { "delivered" } else { "undelivered" }),
    }
}

type World = Running<Vec<RecipeDouble>>;

impl World {
    async fn new() -> Self {
        let mut doubles = Vec::new();
        let mut gateways = json!({});
        for name in GATEWAYS {
            let double = RecipeDouble::start().await;
            let credentials = if name == "acme-plivo" { ["auth_id", "auth_token"] } else { ["key", "key"] };
            gateways[name] = json!({
                "recipe": name.trim_start_matches("acme-"), "from": "Acme", "url": double.base_url(),
                "channels": ["sms", "whatsapp"], credentials[0]: "MA1", credentials[1]: "MA1",
            });
            doubles.push(double);
        }
        let setup = V2::account(Setup::new())
            .config("gateways", gateways)
            .config("otp-sms-provider", GATEWAYS.join(";"))
            .config("workflow", json!(["sms:10m", "whatsapp:10m"]))
            .config("public-url", PUBLIC_URL)
            .config("bounds.breaker-failures", 100)
            .env("ONCEWARD_GATEWAYS_ACME_VONAGE_SECRET", "s3cret");
        let server = setup.start().await;
        Self { doubles, setup, server, numbers: Numbers::default() }
    }

    /// A number whose message the first gateways refuse, and the message that the next one accepted.
    async fn number_through(&self, place: usize) -> String {
        let number = self.number();
        for double in &self.doubles[..place] {
            double.plan(&number, [Reply::ServerError(500)]);
        }
        self.send(&number).await.expects(sent(&number, 5));
        number
    }

    fn messages(&self, number: &str) -> usize {
        self.doubles.iter().map(|double| double.received_for(number).len()).sum()
    }

    /// Reports a message of a gateway, with the key in its address or another one.
    async fn report(&self, place: usize, number: &str, arrived: bool, is_forged: bool) -> u16 {
        let message = self.doubles[place].received_for(number)[0].clone();
        let address = callback_in(&message);
        let address = if is_forged { with_another_key(&address) } else { address };
        let body = report(GATEWAYS[place], &format!("m-{}", message.id), arrived);
        self.post(&address, body).await.status()
    }

    async fn has_arrived(&self, number: &str) -> bool {
        self.tracked(number).await.iter().any(|row| row["receipt_status"] == "delivered")
    }
}

/// The address of receipts with a key that proves nothing.
fn with_another_key(address: &str) -> String {
    format!("{}&key={}", address.split_once("&key=").expect("a key").0, "0".repeat(32))
}

#[tokio::test]
async fn gateways_fall_back_and_their_receipts_drive_the_workflow() {
    let world = World::new().await;
    for (place, name) in GATEWAYS.into_iter().enumerate() {
        let number = world.number_through(place).await;
        let code = world.doubles[0].code_for(&number);
        for double in &world.doubles[..=place] {
            assert_eq!(double.code_for(&number), code, "{name}");
        }
        assert_eq!(world.messages(&number), place + 1, "{name}");

        assert_eq!(world.report(place, &number, false, true).await, 403, "{name}");
        assert_eq!(world.messages(&number), place + 1, "{name}: a forged report changes nothing");
        assert_eq!(world.report(place, &number, false, false).await, 204, "{name}");
        until("the next step", async || world.messages(&number), |messages| *messages == place + 2).await;
        assert_eq!(world.doubles[0].code_for(&number), code, "{name}");
        world.verify(&number, &code).await.expects(verified(&number));
        let rows = world.tracked(&number).await;
        let failed = rows.iter().find(|row| row["receipt_status"] == "failed").expect("a row");
        assert_eq!(failed["gateway"], name);

        // A message that arrived is followed by nothing.
        let number = world.number_through(place).await;
        assert_eq!(world.report(place, &number, true, false).await, 204, "{name}");
        until("the receipt", || world.has_arrived(&number), |has_arrived| *has_arrived).await;
        assert_eq!(world.report(place, &number, false, false).await, 204, "{name}");
        assert_eq!(world.messages(&number), place + 1, "{name}");
    }
}

#[tokio::test]
async fn meta_examines_the_address_with_the_token_of_the_recipe() {
    let meta = |token: &str| {
        let all = json!({"recipe": "meta-whatsapp", "phone_number_id": "1", "template": "t"});
        Setup::new()
            .config("gateways", json!({"chat": all}))
            .config("otp-sms-provider", "chat")
            .config("public-url", PUBLIC_URL)
            .env("ONCEWARD_GATEWAYS_CHAT_TOKEN", "EAA")
            .env("ONCEWARD_GATEWAYS_CHAT_APP_SECRET", "s3cret")
            .env("ONCEWARD_GATEWAYS_CHAT_VERIFY_TOKEN", token)
    };
    let server = meta("my token").start().await;
    let ask = async |query: &str| server.client.get(&format!("/callbacks/gateways/{query}")).await;
    let right = ask("chat?hub.mode=subscribe&hub.verify_token=my+token&hub.challenge=1158201444").await;
    assert_eq!((right.status(), right.text()), (200, "1158201444".to_owned()));
    assert_eq!(right.header("content-type"), "text/plain; charset=utf-8");
    for query in [
        "chat?hub.mode=subscribe&hub.verify_token=other&hub.challenge=1158201444",
        "chat?hub.mode=subscribe&hub.verify_token=&hub.challenge=1158201444",
        "chat?hub.mode=unsubscribe&hub.verify_token=my+token&hub.challenge=1158201444",
        "chat?hub.mode=subscribe&hub.verify_token=my+token",
        "other?hub.mode=subscribe&hub.verify_token=my+token&hub.challenge=1158201444",
        "chat",
    ] {
        let refused = ask(query).await;
        assert_eq!(refused.status(), 403, "{query}");
        assert!(!refused.text().contains("1158201444"), "{}", refused.text());
    }
    until("the log", async || server.output().text(), |log| log.contains("callbacks refused")).await;
    let without = meta("").start().await;
    let query = "/callbacks/gateways/chat?hub.mode=subscribe&hub.verify_token=&hub.challenge=1";
    assert_eq!(without.client.get(query).await.status(), 403, "an empty token proves nothing");
}

#[tokio::test]
async fn a_named_gateway_is_shown_where_built_in_ones_are() {
    let world = World::new().await;
    let number = world.number_through(1).await;
    let ready = world.server.readiness().await.json();
    let names = ready["data"]["gateways"].as_array().expect("a list").iter().map(|gateway| &gateway["name"]);
    assert_eq!(names.filter(|name| *name == "acme-plivo").count(), 1, "{ready}");
    let metrics = scraped(&world.server).await.0;
    metrics.says(["gateway=\"acme-plivo\"", "gateway=\"acme-vonage\""]);
    let visitor = Visitor::of(&world).await;
    for (path, status) in [
        ("/admin/messages?gateway=acme-plivo", 200),
        ("/admin?gateway=acme-plivo", 200),
        ("/admin/messages?gateway=pigeon", 400),
    ] {
        visitor.get(path).await.expects_status(status).says(["acme-plivo"]);
    }
    // A restart reads the names from the records.
    let world = world.restart_after_kill().await;
    let rows = world.tracked(&number).await;
    let gateways: Vec<&str> = rows.iter().map(|row| text(row, "gateway")).collect();
    assert!(gateways.contains(&"acme-plivo") && gateways.contains(&"acme-vonage"), "{gateways:?}");
}

#[tokio::test]
async fn a_refusal_without_a_code_is_told_from_an_unknown_fate() {
    let world = World::new().await;
    let visitor = Visitor::of(&world).await;
    for (reply, fate) in [
        (Reply::Refuse { status: 401, code: 0 }, ": it was not sent."),
        (Reply::ServerError(500), ": it was not sent, or its fate is unknown."),
    ] {
        let number = world.number();
        world.doubles.iter().for_each(|double| double.plan(&number, [reply; 4]));
        world.send(&number).await.expects_status(500);
        visitor.get(&visitor.look_up(&number).await).await.says(["acme-plivo did not take the last", fate]);
    }
}

#[tokio::test]
async fn one_gateway_is_tried_with_a_real_message_that_verifies_nothing() {
    let world = World::new().await;
    let number = world.number();
    let arguments = ["gateways", "try", "acme-vonage", &number, "--yes", "--wait", "0"];
    world.setup.command(arguments).await.exits(0).says(["| vonage | US | ", "| sent | none | not tried |"]);
    assert_eq!(world.messages(&number), 1);
    let code = world.doubles[0].code_for(&number);
    assert_eq!(world.verify(&number, &code).await.status(), 401, "the code belongs to no verification");

    world.doubles[1].plan(&number, [Reply::ServerError(500)]);
    let arguments = ["gateways", "try", "acme-plivo", &number, "--yes"];
    world.setup.command(arguments).await.exits(70).says(["acme-plivo answered HTTP 500"]);
    assert_eq!(world.messages(&number), 2, "no other gateway is asked");
    world.doubles[1].plan(&number, [Reply::ServerError(500)]);
    let arguments =
        ["gateways", "try", "acme-vonage", &number, "--after", "acme-plivo", "--yes", "--wait", "0"];
    let fallback = world.setup.command(arguments).await.exits(0);
    fallback.says([
        "acme-plivo answered HTTP 500",
        "| vonage | US | ",
        "| sent | none | plivo: gateway_error |",
    ]);
    for number in [number, world.number()] {
        let unknown = world.setup.command(["gateways", "try", "acme", &number, "--yes"]).await;
        unknown.says(["no gateway \"acme\" is configured, only ", "acme-vonage"]);
    }
}
