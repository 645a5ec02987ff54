//! The contract (`docs/reference/otp-api.md`), the answers "as built", byte for byte. `src/http/tests/contract.rs` has every
//! row.

use crate::support::{Setup, World};

#[tokio::test]
async fn as_built_a_code_is_sent_and_verifies_once() {
    let world = World::of(Setup::new().config("redis-version-answers", "as-built")).await;
    let number = world.number();
    let sent = format!(
        r#"{{"code":200,"message":"Successfully send OTP message","data":{{"user":{{"phoneNumber":"{number}"}},"trials":5}}}}"#
    );
    world.send(&number).await.expects_exactly(200, &sent);

    let code = world.twilio.code_for(&number);
    let verified = format!(r#"{{"code":200,"message":"Successfully verified user","data":"{number}"}}"#);
    world.verify(&number, &code).await.expects_exactly(200, &verified);

    let expired = with_trials(&number, "OTP Expired, Try Again", 5);
    world.verify(&number, &code).await.expects_exactly(500, &expired);
}

fn with_trials(number: &str, message: &str, trials: u32) -> String {
    format!(
        r#"{{"code":401,"message":"{message}","data":{{"user":{{"phoneNumber":"{number}"}},"trials":{trials}}}}}"#
    )
}
