//! The configuration of the Go framework's component, as a file.

use serde_json::{Value, json};

use crate::support::documented::{sent, verified};
use crate::support::{
    ACCOUNT_SID, AUTH_TOKEN, Doubles, MADA_PASSWORD, MADA_SOURCE, MADA_USERNAME, Numbers, Reply,
    SINCH_APP_ID, SINCH_APP_SECRET, Setup, VERIFY_SID,
};

#[tokio::test]
async fn a_config_json_of_the_go_framework_works_and_its_secrets_are_not_shown() {
    let doubles = Doubles::start().await;
    let config = json!({
        "otp-sms-provider": "Twilio;Mada:+35987,+35988;Sinch",
        "sms": {
            "retry": true,
            "max_retries": 20,
            "twilio": {"sid": ACCOUNT_SID, "token": AUTH_TOKEN, "verify_sid": VERIFY_SID},
            "sinch": {
                "app_id": SINCH_APP_ID,
                "app_secret": SINCH_APP_SECRET,
                "verification_url": doubles.sinch.verification_url(),
            },
            "mada": {
                "username": MADA_USERNAME,
                "password": MADA_PASSWORD,
                "url": doubles.mada.url(),
                "source_name": MADA_SOURCE,
            },
        },
        "authentication": {"otp_length": 5},
    });
    let setup = Setup::bare()
        .file("config.json", config.to_string())
        .env("TWILIO_BASE_URL", doubles.twilio.base_url())
        .args(["--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "debug"]);
    let printed = setup.clone().args(["--print-config"]).run().await.exits(0).output;
    assert!(printed.contains("Twilio;Mada:+35987,+35988;Sinch"), "{printed}");
    let server = setup.start().await;
    let (client, numbers) = (&server.client, Numbers::default());

    // There, Twilio means its Verify service.
    let number = numbers.next();
    client.send(&number).await.expects(sent(&number, 5));
    assert!(doubles.twilio.received_for(&number)[0].is_for("/Verifications"));
    client.verify(&number, &doubles.twilio.code_for(&number)).await.expects(verified(&number));

    let number = numbers.beginning("+35987", 7);
    client.send(&number).await.expects(sent(&number, 5));
    assert_eq!(doubles.sends_to(&number), [0, 0, 1, 0]);
    let code = doubles.mada.code_for(&number);
    assert_eq!(code.len(), 5);
    client.verify(&number, &code).await.expects(verified(&number));

    let number = numbers.next();
    doubles.twilio.plan(&number, [Reply::Busy]);
    client.send(&number).await.expects(sent(&number, 5));
    assert_eq!(doubles.sends_to(&number), [1, 1, 0, 0]);
    client.verify(&number, &doubles.sinch.code_for(&number)).await.expects(verified(&number));

    let output = server.output();
    let warning = |event: &Value| event["level"] == "WARN" && event.to_string().contains("config.json");
    server.event("a warning about secrets in the file", warning).await;
    for secret in [AUTH_TOKEN, SINCH_APP_SECRET, MADA_PASSWORD] {
        assert!(!output.text().contains(secret) && !printed.contains(secret));
    }
}
