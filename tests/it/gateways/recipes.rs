//! Gateways of `gateways`: recipes with names of their own. `crates/gateway` tests every recipe.

use crate::support::prelude::*;

/// In the order of the routing; both have the recipe of Vonage.
const GATEWAYS: [&str; 2] = ["north", "south"];

type World = Running<Vec<Vonage>>;

impl World {
    async fn of(setup: Setup) -> Self {
        let mut doubles = Vec::new();
        let mut gateways = json!({});
        for name in GATEWAYS {
            let double = Vonage::start().await;
            gateways[name] = vonage(&double.base_url());
            doubles.push(double);
        }
        let setup = V2::account(setup)
            .config("gateways", gateways)
            .config("otp-sms-provider", GATEWAYS.join(";"))
            .config("public-url", PUBLIC_URL);
        let server = setup.start().await;
        Self { doubles, setup, server, numbers: Numbers::default() }
    }

    /// Sends so many codes, of which those of the second gateway are entered, and returns how many it got.
    async fn only_the_second_delivers(&self, messages: usize) -> usize {
        let mut entered = 0;
        for number in (0..messages).map(|_| self.number()) {
            self.send(&number).await.expects(sent(&number, 5));
            if let Some(code) = self.doubles[1].last_code_for(&number) {
                self.verify(&number, &code).await.expects(verified(&number));
                entered += 1;
            }
        }
        entered
    }

    fn messages(&self, number: &str) -> usize {
        self.doubles.iter().map(|double| double.received_for(number).len()).sum()
    }
}

#[tokio::test]
async fn a_named_gateway_reports_and_is_shown_where_built_in_ones_are() {
    let world = World::of(Setup::new()).await;
    let number = world.number();
    world.doubles[0].plan(&number, [Reply::ServerError(500)]);
    world.send(&number).await.expects(sent(&number, 5));
    let message = world.doubles[1].received_for(&number).remove(0);
    let address = message.field("callback").strip_prefix(PUBLIC_URL).expect("an address for receipts");
    let body = json!({ "messageId": format!("m-{}", message.id), "status": "delivered" }).to_string();
    let forged = format!("{}&key={}", address.split_once("&key=").expect("a key").0, "0".repeat(32));
    for (address, status) in [(&*forged, 403), (address, 204)] {
        world.post(address, body.clone()).await.expects_status(status);
    }
    let has_arrived = |rows: &Vec<Value>| rows.iter().any(|row| row["receipt_status"] == "delivered");
    until("the receipt", || world.tracked(&number), has_arrived).await;

    scraped(&world.server).await.0.says(["gateway=\"north\"", "gateway=\"south\""]);
    let visitor = Visitor::of(&world).await;
    for (path, status) in [("/admin?gateway=south", 200), ("/admin/messages?gateway=pigeon", 400)] {
        visitor.get(path).await.expects_status(status).says(["south"]);
    }
    // A restart reads the names from the records.
    let rows = world.restart_after_kill().await.tracked(&number).await;
    let names: Vec<&str> = rows.iter().map(|row| text(row, "gateway")).collect();
    assert!(GATEWAYS.iter().all(|name| names.contains(name)), "{names:?}");
}

#[tokio::test]
async fn messages_move_to_the_gateway_that_delivers_also_after_kill_9() {
    let setup = Setup::new().config("sender", "results").config("otp-timeout", "10s");
    let mut world = World::of(setup).await;
    // Of unknown gateways each gets its part.
    let entered = world.only_the_second_delivers(40).await;
    assert!((5..=35).contains(&entered), "{entered}");
    for _ in 0..2 {
        let results = async || world.setup.command(["gateways", "results", "--json"]).await.exits(0).json();
        let is_row = |row: &Value| row["gateway"] == "south" && row["results_percent"].as_u64() >= Some(90);
        until("the change", results, |rows: &Vec<Value>| rows.iter().any(is_row)).await;
        let visitor = Visitor::of(&world).await;
        visitor.get("/admin/delivery").await.expects_status(200).says(["south", "100 %", "Results save"]);
        let entered = world.only_the_second_delivers(20).await;
        assert!(entered >= 16, "{entered}");
        world = world.restart_after_kill().await;
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
    let (with, without) = (meta("my token").start().await, meta("").start().await);
    let asked = async |server: &Server, gateway: &str, mode: &str, token: &str| {
        let query = format!("hub.mode={mode}&hub.verify_token={token}&hub.challenge=1158201444");
        server.client.get(&format!("/callbacks/gateways/{gateway}?{query}")).await
    };
    let right = asked(&with, "chat", "subscribe", "my+token").await.expects_status(200);
    let kind = right.header("content-type");
    assert_eq!((kind, &*right.text()), ("text/plain; charset=utf-8", "1158201444"));
    for refused in [
        asked(&with, "chat", "subscribe", "other").await,
        asked(&with, "chat", "unsubscribe", "my+token").await,
        asked(&with, "other", "subscribe", "my+token").await,
        // An empty token proves nothing.
        asked(&without, "chat", "subscribe", "").await,
    ] {
        let refused = refused.expects_status(403).text();
        assert!(!refused.contains("1158201444"), "{refused}");
    }
    with.line("callbacks refused").await;
}

#[tokio::test]
async fn one_gateway_is_tried_with_a_real_message_that_verifies_nothing() {
    let world = World::of(Setup::new()).await;
    let number = world.number();
    let tries = async |more: &[&str]| {
        let arguments = ["gateways", "try"].iter().chain(more).chain(&["--yes", "--wait", "0"]).copied();
        world.setup.command(arguments).await
    };
    tries(&["north", &number]).await.exits(0).says(["north", "sent"]);
    let code = world.doubles[0].code_for(&number);
    assert_eq!(world.verify(&number, &code).await.status(), 401, "the code belongs to no verification");

    world.doubles[1].plan(&number, [Reply::ServerError(500)]);
    tries(&["south", &number]).await.exits(70).says(["answered HTTP 500", "gateway_error"]);
    assert_eq!(world.messages(&number), 2, "no other gateway is asked");
    let unknown = tries(&["pigeon", &number]).await;
    unknown.says(["no gateway \"pigeon\" is configured, only ", "north"]);

    let v2 = V2::of(&world.server.client);
    let test_numbers = format!("{}/TestNumbers", v2.default_service().await);
    let test_number = [("Pattern", "+14155550123"), ("Code", "9174620385")];
    v2.post(&test_numbers, &test_number).await.expects_status(201);
    let refused = tries(&["north", "+14155550123"]).await;
    assert_ne!(refused.status.code(), Some(0), "{}", refused.output);
    refused.says(["+14155550123 got no message"]);
}
