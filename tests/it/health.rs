//! `/healthz` and `/readyz`.

use serde_json::json;

use crate::support::documented::failed;
use crate::support::{Reply, Several, World, text};

#[tokio::test]
async fn refused_credentials_make_it_not_ready_but_alive() {
    let world = World::new().await;
    // The second has no code of Twilio's.
    for refusal in [Reply::Refuse { status: 401, code: 20003 }, Reply::ServerError(401)] {
        let number = world.number_with([refusal]);
        world.send(&number).await.expects(failed());

        world.get("/readyz").await.expects_not_ready();
        assert_eq!(world.get("/healthz").await.status(), 200);

        // The operator repaired the account at Twilio: the next send that works shows it.
        assert_eq!(world.send(&number).await.status(), 200);
        assert_eq!(world.get("/readyz").await.status(), 200);
    }
}

#[tokio::test]
async fn a_gateway_that_sends_nothing_is_not_shown() {
    for (gateways, shown) in [("Twilio", vec!["TwilioMessages"]), ("Http;Sinch", vec!["Http", "Sinch"])] {
        // All of them are configured; the others could only check codes that they hold.
        let body = Several::routed(gateways).await.get("/readyz").await.json();
        let listed = body["data"]["gateways"].as_array().expect("a list");
        let mut names: Vec<_> = listed.iter().map(|gateway| text(gateway, "name")).collect();
        names.sort_unstable();
        assert_eq!(names, shown, "{body}");
    }
}

#[tokio::test]
async fn a_gateway_out_of_service_is_named_with_its_error_and_since_when() {
    let world = World::with([("breaker-failures", json!(1)), ("breaker-open-for", json!("100s"))]).await;
    world.twilio.otherwise(Reply::ServerError(503));
    world.send(&world.number()).await;
    let answer = world.get("/readyz").await;
    answer.expects_not_ready();
    let reason = answer.json()["data"]["reasons"][0].clone();
    for part in ["TwilioMessages has not worked for ", " s: ", "503", "; it is tried again in "] {
        assert!(reason.as_str().is_some_and(|reason| reason.contains(part)), "no {part:?} in {reason}");
    }
}
