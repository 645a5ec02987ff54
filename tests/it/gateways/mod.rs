//! Delivery in the real program, with its log, its tracker and `kill -9`. `delivery::tests` has the rules.

mod privacy;
mod recipes;

use crate::support::prelude::*;

/// An error of Twilio about this message.
const fn twilio_refuses(code: u32) -> Reply {
    Reply::Refuse { status: 400, code }
}

#[tokio::test]
async fn a_landline_is_called_and_hears_its_code_once_a_key_is_pressed() {
    let settings = [("voice", json!(true)), ("voice-gate", json!(true)), ("public-url", json!(PUBLIC_URL))];
    let world = World::with(settings).await;
    let number = world.number_with([twilio_refuses(21_614)]);
    world.send(&number).await.expects(sent(&number, 5));
    let call = &world.twilio().calls_for(&number)[0];
    let twiml = call.field("Twiml");
    assert_eq!(spoken_code(twiml), None, "an answering machine would record it: {twiml}");
    let on_key = between(twiml, "action=\"", "\"").replace("&amp;", "&");

    let key = Report::key_pressed(call, &on_key);
    key.clone().signed_with("another token").send(&world).await.expects_status(403);
    let heard = key.send(&world).await.expects_status(200).text();
    let code = spoken_code(&heard).expect("a code is read out");
    world.verify(&number, &code).await.expects(verified(&number));
    // The code is used: pressing a key now repeats none.
    assert_eq!(spoken_code(&key.send(&world).await.text()), None);
}

#[tokio::test]
async fn a_call_that_the_guard_keeps_from_a_landline_is_refused_as_by_the_guard() {
    let prices = json!({ "*": { "sms": 0.01, "call": 0.2 } });
    let settings = [("voice", json!(true)), ("prices", prices), ("guard", json!({ "max-price": 0.1 }))];
    let world = World::with(settings).await;
    let number = world.number_with([twilio_refuses(21_614)]);
    let refused = world.send(&number).await.expects_status(403).json();
    assert_eq!(refused["data"]["ttl"], 1_440, "{refused}");
    assert!(world.twilio().calls_for(&number).is_empty());
}

#[tokio::test]
async fn a_step_that_is_due_is_made_after_kill_9() {
    let world = World::with([("voice", json!(true)), ("workflow", json!(["sms:8s", "call"]))]).await;
    let number = world.number_with_message().await;
    let first = world.twilio().code_for(&number);
    let world = world.restart_after_kill().await;
    world.twilio().arrived_for(&number, 2).await;
    assert_eq!(world.twilio().calls_for(&number).len(), 1);
    assert_eq!(world.twilio().code_for(&number), first);
    world.verify(&number, &first).await.expects(verified(&number));
}

#[tokio::test]
async fn a_person_who_replied_stop_is_told_so_at_every_door() {
    let stopped = "+15005550004";
    let world = Running::alone(V2::account(Setup::new())).await;
    let v2 = V2::of(&world);
    let service = v2.service(&[]).await;
    v2.begins(&service, stopped).await.tells(403, "21610").says(["unsubscribed", "STOP"]);
    let form = [("To", stopped), ("Code", "123456")];
    v2.post(&format!("{service}/Messages"), &form).await.tells(403, "21610");
    let refused = world.send(stopped).await.expects_status(400);
    refused.header("x-onceward-reason").says(["no messages"]);
}
