//! Answers and log lines about messages that may not arrive.

use crate::support::prelude::*;

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

#[tokio::test]
async fn a_message_of_several_parts_shows_them_and_is_logged_once() {
    let (world, v2) = World::with_account(Setup::new().config("webotp-domain", "codes.example.com")).await;
    let service = v2.service(&[("CodeLength", "10"), ("DoNotShareWarningEnabled", "true")]).await;
    for _ in 0..2 {
        let number = world.number();
        v2.begins_with(&service, &number, &[("Locale", "ar")]).await.expects_status(201);
        assert_eq!(world.tracked(&number).await[0]["parts"], 2);
    }
    let output = world.server.stop().await.output;
    assert_eq!(output.matches("text message of several parts").count(), 1, "{output}");
}
