//! Several gateways, each a double on loopback.

mod breaker;
mod channels;
mod held;
mod privacy;
mod receipts;
mod recipes;
mod retry;
mod routing;
mod tracker;
mod unknown;

use crate::support::prelude::*;

/// An error of Twilio about this message.
const fn twilio_refuses(code: u32) -> Reply {
    Reply::Refuse { status: 400, code }
}

fn is_sent(rows: &[Value]) -> bool {
    rows.iter().any(|row| row["send_status"] == "sent")
}

impl Several {
    /// A server with these gateways and settings, every channel, an address for reports, and circuits that stay closed.
    async fn reachable<const N: usize>(gateways: &str, settings: [(&str, Value); N]) -> Self {
        let common = [
            ("voice", json!(true)),
            ("public-url", json!(PUBLIC_URL)),
            ("bounds.breaker-failures", json!(100)),
        ];
        Self::of(gateways, |_, setup| {
            let setup = setup.env("TWILIO_WHATSAPP_NUMBER", WHATSAPP_SENDER);
            common.into_iter().chain(settings).fold(setup, |setup, (key, value)| setup.config(key, value))
        })
        .await
    }

    /// A new number for whose next messages Twilio has these replies.
    fn number_with(&self, replies: impl IntoIterator<Item = Reply>) -> String {
        let number = self.number();
        self.twilio().plan(&number, replies);
        number
    }

    async fn accepts(&self, number: &str) {
        self.send(number).await.expects(sent(number, 5));
    }

    /// Asserts that the last code that Twilio was given for this number is right.
    async fn verifies_by_twilio(&self, number: &str) {
        self.verify(number, &self.twilio().code_for(number)).await.expects(verified(number));
    }

    /// Locks a number out: all its five checks of this code are wrong.
    async fn locks_out(&self, number: &str, wrong: &str) {
        for trials in [4, 3, 2, 1] {
            self.verify(number, wrong).await.expects(incorrect(number, trials));
        }
        self.verify(number, wrong).await.expects(locked(number, 30));
    }

    /// Asserts that the last code that the plain gateway was given for this number is right.
    async fn verifies_by_plain(&self, number: &str) {
        self.verify(number, &self.plain().code_for(number)).await.expects(verified(number));
    }
}
