//! Mada, a gateway that speaks SOAP.

use serde_json::json;

use crate::support::documented::verified;
use crate::support::{MADA_SOURCE, Several};

#[tokio::test]
async fn a_message_is_submitted_as_mada_wants_it_and_its_code_verifies() {
    let text = json!("<A> & \"B\": {code} ist dein Code, größer > 1");
    let world = Several::with("Mada", [("otp-message", text)]).await;
    // The double uses another prefix in each answer.
    for _ in 0..4 {
        let number = world.number_with_message().await;
        let submitted = world.mada().submitted_for(&number);
        let code = world.mada().code_for(&number);
        assert_eq!(submitted.len(), 1);
        assert_eq!(submitted[0].source, MADA_SOURCE);
        assert_eq!(submitted[0].text, format!("<A> & \"B\": {code} ist dein Code, größer > 1"));
        world.verify(&number, &code).await.expects(verified(&number));
    }
}
