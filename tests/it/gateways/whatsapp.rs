//! `WhatsApp` messages through Twilio.

use serde_json::json;

use super::refused;
use crate::support::documented::{bad_request, sent};
use crate::support::{Several, WHATSAPP_SENDER};

#[tokio::test]
async fn a_whatsapp_message_goes_from_one_whatsapp_address_to_another() {
    let world = Several::reachable("Twilio", []).await;
    let number = world.number();
    world.send_by(&number, "whatsapp").await.expects(sent(&number, 5));
    let messages = world.twilio().messages_for(&number);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].field("To"), format!("whatsapp:{number}"));
    assert_eq!(messages[0].field("From"), format!("whatsapp:{WHATSAPP_SENDER}"));
    assert!(messages[0].field("Body").contains(&world.twilio().code_for(&number)));
    world.verifies_by_twilio(&number).await;
}

#[tokio::test]
async fn a_number_without_whatsapp_gets_a_text_message_if_it_takes_one() {
    let world = Several::reachable("Twilio", [("voice", json!(false))]).await;
    for (replies, is_sent) in [(vec![63_003], true), (vec![63_024], true), (vec![63_003, 21_614], false)] {
        let number = world.number_with(replies.iter().copied().map(refused));
        let answer = if is_sent { sent(&number, 5) } else { bad_request() };
        world.send_by(&number, "whatsapp").await.expects(answer);
        let messages = world.twilio().messages_for(&number);
        let addresses: Vec<&str> = messages.iter().map(|message| message.field("To")).collect();
        assert_eq!(addresses, [&format!("whatsapp:{number}"), &number], "{replies:?}");
        if is_sent {
            world.verifies_by_twilio(&number).await;
        }
    }
}
