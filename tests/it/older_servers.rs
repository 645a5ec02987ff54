//! What older servers leave to this one: the files of the Redis version, and the routes of the tutorial with the real
//! engine. `src/http/compatible.tsv` has each answer as bytes.

use crate::support::prelude::*;

/// Spelled as the Redis version spells it: every value is a string.
const CONFIG: &str = include_str!(
    "../../crates/library/src/config/tests/cases/configuration_of_the_redis_version/config.json"
);

#[tokio::test]
async fn a_config_json_and_a_dot_env_of_the_redis_version_start_unchanged() {
    let twilio = Twilio::start().await;
    let variables = format!(
        "TWILIO_ACCOUNT_SID={ACCOUNT_SID}\nTWILIO_AUTHTOKEN={AUTH_TOKEN}\nTWILIO_PHONE_NUMBER={SENDER}\n\
         TWILIO_SERVICES_ID=VA0123456789abcdef0123456789abcdef\nREDIS_DB_PASSWORD=the-password-of-Redis\n"
    );
    let server = Setup::bare()
        .file("config.json", CONFIG)
        .file(".env", variables)
        .env("TWILIO_BASE_URL", twilio.base_url())
        // Tests share a machine.
        .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
        .start()
        .await;

    let number = Numbers::default().next();
    server.client.send(&number).await.expects(sent(&number, 3));
    let code = twilio.code_for(&number);
    let received = &twilio.received_for(&number)[0];
    assert_eq!(received.field("Body"), format!("OTP message is {code}"));
    assert!((1..=30).contains(&received.field("ValidityPeriod").parse().expect("seconds")));
    server.client.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 2));
    server.event("Redis is ignored", |event| event.to_string().to_lowercase().contains("redis")).await;
    assert!(!server.output().text().contains("password-of-Redis"));
}

const NO_MATCH: &str = "The phone number and the SMS code doesn't match.";

#[tokio::test]
async fn the_tutorials_codes_have_its_text_and_count_with_those_of_the_api() {
    let settings = [("brand", json!("Analytical Engines")), ("otp-timeout", json!(30))];
    let world = World::with(settings).await;
    let number = world.number();
    let id = format!("SM{:032x}", 1);
    world.send_code(&number).await.expects_message(200, &format!("Message sent with id: {id}"));
    let received = &world.twilio().received_for(&number)[0];
    let code = world.twilio().code_for(&number);
    let text = format!("Hello from Analytical Engines! Your verification code is: {code}");
    assert_eq!(received.field("Body"), text);
    let seconds: u32 = received.field("ValidityPeriod").parse().expect("seconds");
    assert!((500..=600).contains(&seconds), "ten minutes, whatever otp-timeout says: {seconds}");

    world.verify_code(&number, &wrong(&code)).await.expects_message(400, NO_MATCH);
    world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 3));
    world.send(&number).await.expects(sent(&number, 3));
    for _ in 0..2 {
        world.verify_code(&number, &wrong(&code)).await.expects_message(400, NO_MATCH);
    }
    for answer in [world.verify_code(&number, "000000").await, world.send_code(&number).await] {
        answer.expects_status(403);
    }
}
