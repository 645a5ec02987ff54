//! No code, no secret and no whole number in any output, and no code or secret in any file, whatever
//! the gateways do.

use super::twilio_refuses;
use crate::support::prelude::*;

type Several = Running<(Twilio, Vonage)>;

async fn several(gateways: &str) -> Several {
    let doubles = (Twilio::start().await, Vonage::start().await);
    let setup = through(&doubles.0.base_url(), at_trace_level(Setup::new()))
        .env("TWILIO_SERVICES_ID", VERIFY_SID)
        .config("gateways", json!({ "vonage": vonage(&doubles.1.base_url()) }))
        .config("otp-sms-provider", gateways);
    let server = setup.start().await;
    Running { doubles, setup, server, numbers: Numbers::default() }
}

#[tokio::test]
async fn the_scenario_prints_and_stores_nothing_private_with_every_gateway() {
    let mut private = Private::default();
    for gateways in ["Twilio;vonage", "TwilioVerify;vonage", "vonage;Twilio"] {
        let mut world = several(gateways).await;
        everything_works(&world, &mut private).await;
        everything_fails(&world, &mut private).await;
        let mut output = world.server.output().text();
        world = world.restart_after_kill().await;
        everything_works(&world, &mut private).await;
        let listed = world.setup.command(["tracker", "--json"]).await.output;
        let (world, finished) = world.restart().await;
        output += &finished.output;
        output += &world.server.output().text();

        private.codes.extend([world.doubles.0.codes(), world.doubles.1.codes()].concat());
        private.server_key(&world.setup.data_dir());
        private.is_not_in_files_of(&world.setup.data_dir());
        // Shorter codes look like parts of ids.
        let mut codes = private.codes.iter().filter(|code| code.len() >= 10);
        assert!(codes.all(|code| !listed.contains(code)), "the tracker lists a code");
        private.is_not_in_output(&output);
    }
    assert!(private.codes.len() > 30, "the scenario sends codes");
}

#[tokio::test]
async fn a_message_id_with_the_number_and_code_is_kept_and_in_no_log_line() {
    let world = World::of(Setup::new().args(["--log-level", "trace"])).await;
    let number = world.number_with([Reply::AcceptWithItsCode]);
    world.send_code(&number).await.expects_status(200);
    let rows = world.tracked(&number).await;
    let kept = format!("m-{}-{}", &number[1..], world.twilio().code_for(&number));
    assert_eq!(text(&rows[0], "message_id"), kept, "the provider's receipts name it");
    let output = world.server.stop().await.output;
    assert!(output.contains("message accepted"), "{output}");
    assert!(!output.contains(&kept) && !output.contains(&number[1..]), "the log has the id");
}

#[tokio::test]
async fn the_messages_code_in_place_of_an_error_code_is_in_no_log_line() {
    let (world, v2) = World::with_account(Setup::new().args(["--log-level", "trace"])).await;
    let service = v2.service(&[("CustomCodeEnabled", "true")]).await;
    for code in ["792680", "007926", "4711"] {
        let number = world.number_with([Reply::RefuseWithItsCode]);
        v2.begins_with(&service, &number, &[("CustomCode", code)]).await;
    }
    let output = world.server.stop().await.output;
    let failures: Vec<_> = output.lines().filter(|line| line.contains("message not sent")).collect();
    let names_a_code = |line: &&str| line.contains("\"code\":") || line.contains(" code=");
    assert!(failures.len() >= 3 && !failures.iter().any(names_a_code), "{output}");
}

/// Sent, wrong, right, again; by every channel; with reports and a workflow.
async fn everything_works(world: &Several, private: &mut Private) {
    for channel in ["sms", "call", "whatsapp"] {
        let number = private.number(world.number());
        let body = json!({ "phoneNumber": number, "channel": channel }).to_string();
        world.post("/api/send-otp", body).await;
        let code = last_code(world, &number);
        world.verify(&number, &wrong(&code)).await;
        world.verify(&number, &code).await;
        world.verify(&number, &code).await;
    }
    let number = private.number(world.number());
    world.send(&number).await;
    for message in world.doubles.0.received_for(&number) {
        if !message.field("StatusCallback").is_empty() {
            let report = Report::about(&message, "undelivered").with("ErrorCode", "30003");
            report.clone().unsigned().send(world).await;
            report.signed_with("another token").send(world).await;
            Report::about(&message, "undelivered").with("ErrorCode", "30003").send(world).await;
        }
    }
    // The answer of the tutorial's route has the id of the message.
    let number = private.number(world.number());
    let answer = world.send_code(&number).await;
    let code = last_code(world, &number);
    assert!(!answer.text().contains(&code), "an answer must not contain the code: {}", answer.text());
    world.verify_code(&number, &code).await;
    // Locked.
    let number = private.number(world.number());
    world.send(&number).await;
    for _ in 0..6 {
        world.verify(&number, "1234567890").await;
    }
}

async fn everything_fails(world: &Several, private: &mut Private) {
    let troubles = [
        twilio_refuses(21_211),
        twilio_refuses(21_610),
        twilio_refuses(21_614),
        twilio_refuses(99_999),
        twilio_refuses(30_450),
        Reply::Refuse { status: 401, code: 20_003 },
        Reply::Refuse { status: 200, code: 99 },
        Reply::Busy,
        Reply::ServerError(500),
        Reply::NotJson,
        Reply::Reset,
        Reply::Hang,
    ];
    for trouble in troubles {
        let number = private.number(world.number());
        let (twilio, vonage) = &world.doubles;
        twilio.plan(&number, [trouble; 16]);
        vonage.plan(&number, [trouble; 16]);
        world.send(&number).await;
        world.send_code(&number).await;
        // The check fails in the same way.
        let number = private.number(world.number());
        world.send(&number).await;
        twilio.plan_checks(&number, [trouble]);
        let code = last_code(world, &number);
        world.verify(&number, &code).await;
    }
    world.server.let_writes_fail();
    let number = private.number(world.number());
    world.send(&number).await;
    world.verify(&number, "1234567890").await;
    world.server.let_writes_succeed();
    let number = private.number(world.number());
    until("the recovery", || world.send(&number), |answer| answer.status() == 200).await;
}

/// The last code that any gateway sent to a number, or a placeholder.
fn last_code(world: &Several, number: &str) -> String {
    let (twilio, vonage) = &world.doubles;
    let code = vonage.last_code_for(number).or_else(|| twilio.last_code_for(number));
    code.unwrap_or_else(|| "1234567890".to_owned())
}

/// Ten digits: a time or a counter in the log cannot look like a code.
fn at_trace_level(setup: Setup) -> Setup {
    setup
        .args(["--log-level", "trace"])
        .env("TWILIO_WHATSAPP_NUMBER", WHATSAPP_SENDER)
        .config("otp-length", 10)
        .config("send-budget", "1s")
        .config("voice", true)
        .config("voice-gate", true)
        .config("public-url", PUBLIC_URL)
        .config("workflow", json!(["sms:1s", "call:1s", "sms"]))
        .config("sms", json!({"retry": true, "max_retries": 2}))
        .config("bounds.breaker-failures", 100)
}

/// Tests the test: it must find what is planted.
#[test]
fn what_is_private_would_be_found() {
    let mut private = Private::default();
    let number = private.number("+14155550000".to_owned());
    private.codes.push("0123456789".to_owned());
    private.secrets.push("a-secret-of-a-service".to_owned());
    for text in [
        format!("a number {number}").as_bytes(),
        b"its national part 4155550000",
        b"{\"code\":\"0123456789\"}",
        &123_456_789_u64.to_be_bytes(),
        AUTH_TOKEN.as_bytes(),
        basic(OWN_ACCOUNT, OWN_TOKEN).as_bytes(),
        b"{\"a\":\"a-secret-of-a-service\"}",
    ] {
        assert!(private.found_in(text, true).is_some(), "{}", text.escape_ascii());
    }
    assert!(private.found_in(b"+1415*****00 and 0123456", true).is_none());
}
