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
