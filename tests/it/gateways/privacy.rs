//! No code, no secret and no whole number in any output, and no code or secret in any file, whatever
//! the gateways do.

use super::twilio_refuses;
use crate::support::prelude::*;

#[tokio::test]
async fn the_scenario_prints_and_stores_nothing_private_with_every_gateway() {
    let mut private = Private::default();
    let mut output = String::new();
    for gateways in ["Twilio;Http", "TwilioVerify;Http", "Http;Twilio"] {
        let mut world = Several::of(gateways, |_, setup| at_trace_level(setup)).await;
        everything_works(&world, &mut private).await;
        everything_fails(&world, &mut private).await;
        output += &world.server.output().text();
        world = world.restart_after_kill().await;
        everything_works(&world, &mut private).await;
        let listed = world.setup.command(["tracker", "--json"]).await;
        let table = world.setup.command(["tracker"]).await;
        let (world, finished) = world.restart().await;
        output += &finished.output;
        output += &world.server.output().text();

        private.codes.extend(world.doubles.codes());
        private.server_key(&world.setup.data_dir());
        private.is_not_in_files_of(&world.setup.data_dir());
        // Shorter codes look like parts of ids.
        for code in private.codes.iter().filter(|code| code.len() >= 10) {
            let lists_it = listed.output.contains(code) || table.output.contains(code);
            assert!(!lists_it, "the tracker lists a code");
        }
        private.is_not_in_output(&output);
        output.clear();
    }
    assert!(private.codes.len() > 30, "the scenario sends codes");
}

#[tokio::test]
async fn a_message_id_with_the_number_and_code_is_kept_and_in_no_log_line() {
    for gateway in ["Http", "Twilio"] {
        let world = Several::of(gateway, |_, setup| V2::account(setup).args(["--log-level", "trace"])).await;
        let number = world.number();
        world.plain().plan(&number, [Reply::AcceptWithItsCode]);
        world.twilio().plan(&number, [Reply::AcceptWithItsCode]);
        world.send_code(&number).await.expects_status(200);
        let code = last_code(&world, &number);
        let rows = world.setup.tracked(&[]).await;
        let kept = text(rows.last().expect("an attempt"), "message_id").to_owned();
        assert_eq!(kept, format!("m-{}-{code}", &number[1..]), "the provider's receipts name it");
        let output = logged(&world, "message accepted", 1).await;
        assert!(!output.contains(&kept) && !output.contains(&number[1..]), "the log has the id");
    }
}

#[tokio::test]
async fn the_messages_code_in_place_of_an_error_code_is_in_no_log_line() {
    let setup = |_: &_, setup: Setup| V2::account(setup).args(["--log-level", "trace"]);
    let world = Several::of("Twilio;Http", setup).await;
    let v2 = V2::of(&world);
    let service = v2.service(&[("CustomCodeEnabled", "true")]).await;
    for code in ["792680", "007926", "4711"] {
        let number = world.number_with([Reply::RefuseWithItsCode]);
        v2.begins_with(&service, &number, &[("CustomCode", code)]).await.expects_status(201);
    }
    let output = logged(&world, "message not sent", 3).await;
    let failures = output.lines().filter(|line| line.contains("message not sent"));
    let codes: Vec<_> = failures.map(|line| line.contains("\"code\":") || line.contains(" code=")).collect();
    assert!(codes.len() == 3 && !codes.contains(&true), "{output}");
}

/// The output, once it has this message so often.
async fn logged(world: &Several, message: &str, times: usize) -> String {
    let output = async || world.server.output().text();
    until(message, output, |text| text.matches(message).count() >= times).await
}

/// Sent, wrong, right, again; by every channel; with reports and a workflow.
async fn everything_works(world: &Several, private: &mut Private) {
    for channel in ["sms", "call", "whatsapp"] {
        let number = private.number(world.number());
        world.send_by(&number, channel).await;
        let code = last_code(world, &number);
        world.verify(&number, &wrong(&code)).await;
        world.verify(&number, &code).await;
        world.verify(&number, &code).await;
    }
    let number = private.number(world.number());
    world.send(&number).await;
    for message in world.twilio().received_for(&number) {
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
        Reply::BusyFor(1),
        Reply::ServerError(500),
        Reply::NotJson,
        Reply::CutShort,
        Reply::Reset,
        Reply::Hang,
    ];
    for trouble in troubles {
        let number = private.number(world.number());
        let Doubles { twilio, plain } = &world.doubles;
        twilio.plan(&number, [trouble; 16]);
        plain.plan(&number, [trouble; 16]);
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
    let code = world.plain().last_code_for(number).or_else(|| world.twilio().last_code_for(number));
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
