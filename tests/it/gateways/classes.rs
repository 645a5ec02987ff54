//! The next step after each class of error, which the tables of `delivery::retry` and of each gateway decide.

use serde_json::json;

use crate::support::documented::{bad_request, failed, sent};
use crate::support::{Reply, Several};

#[tokio::test]
async fn the_class_of_an_error_decides_whether_the_next_gateway_is_asked() {
    let world = Several::with(
        "Twilio;Http",
        [("voice", json!(true)), ("sms", json!({"retry": true})), ("breaker-failures", json!(100))],
    )
    .await;
    let refused = |status, code| Reply::Refuse { status, code };
    for (reply, gateways) in [
        (refused(400, 21_211), [1, 0, 0, 0]),
        (refused(400, 21_610), [1, 0, 0, 0]),
        (refused(400, 30_450), [1, 0, 0, 0]),
        (Reply::FailedAtOnce(30_005), [1, 0, 0, 0]),
        (refused(401, 20_003), [1, 0, 0, 1]),
        (refused(400, 21_408), [1, 0, 0, 1]),
        (refused(400, 30_007), [1, 0, 0, 1]),
        (Reply::FailedAtOnce(30_008), [1, 0, 0, 1]),
        (Reply::Busy, [1, 0, 0, 1]),
        // The server obeys, and does not use Twilio again in this test.
        (Reply::BusyFor(3_600), [1, 0, 0, 1]),
    ] {
        let number = world.number();
        world.twilio().plan(&number, [reply]);
        world.send(&number).await.expects(match (gateways, reply) {
            ([.., 1], _) => sent(&number, 5),
            (_, Reply::Refuse { code: 30_450, .. }) => failed(),
            _ => bad_request(),
        });
        assert_eq!(world.doubles.sends_to(&number), gateways, "{reply:?}");
    }
}
