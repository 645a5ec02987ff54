//! A server with several gateways, each a double.

use std::ops::Deref;

use serde_json::Value;

use super::{
    Client, Finished, HTTP_TOKEN, MADA_PASSWORD, MADA_SOURCE, MADA_USERNAME, Mada, Numbers, Row,
    SINCH_APP_ID, SINCH_APP_SECRET, Server, Setup, Sinch, SmsGateway, Twilio, VERIFY_SID, tracked, until,
};

/// Every gateway.
pub struct Doubles {
    /// Twilio's Messages, Calls and Verify.
    pub twilio: Twilio,
    /// Sinch.
    pub sinch: Sinch,
    /// Mada.
    pub mada: Mada,
    /// The gateway that the configuration describes.
    pub plain: SmsGateway,
}

/// A server, its settings, and the doubles that it sends through. Acts as its own client.
pub struct Several {
    /// Where its messages go.
    pub doubles: Doubles,
    /// The options of its starts.
    pub setup: Setup,
    /// The running program.
    pub server: Server,
    /// Numbers that were not used yet.
    pub numbers: Numbers,
}

impl Doubles {
    /// Starts one of each.
    pub async fn start() -> Self {
        Self {
            twilio: Twilio::start().await,
            sinch: Sinch::start().await,
            mada: Mada::start().await,
            plain: SmsGateway::start().await,
        }
    }

    /// The number of messages for this number at Twilio, Sinch, Mada and the plain gateway.
    pub fn sends_to(&self, number: &str) -> [usize; 4] {
        [
            self.twilio.received_for(number).len(),
            self.sinch.received_for(number).len(),
            self.mada.received_for(number).len(),
            self.plain.received_for(number).len(),
        ]
    }

    /// Every code that was sent.
    pub fn codes(&self) -> Vec<String> {
        [self.twilio.codes(), self.sinch.codes(), self.mada.codes(), self.plain.codes()].concat()
    }
}

/// Settings by which every gateway is configured.
pub fn all_configured(doubles: &Doubles, setup: Setup) -> Setup {
    super::through(&doubles.twilio.base_url(), setup)
        .env("TWILIO_SERVICES_ID", VERIFY_SID)
        .env("SINCH_APP_ID", SINCH_APP_ID)
        .env("SINCH_APP_SECRET", SINCH_APP_SECRET)
        .env("SINCH_VERIFICATION_URL", doubles.sinch.verification_url())
        .env("MADA_USERNAME", MADA_USERNAME)
        .env("MADA_PASSWORD", MADA_PASSWORD)
        .env("MADA_URL", doubles.mada.url())
        .env("MADA_SOURCE_NAME", MADA_SOURCE)
        .env("HTTP_GATEWAY_TOKEN", HTTP_TOKEN)
        .config("http-gateway", doubles.plain.json_settings())
}

impl Several {
    /// The usual settings, and these gateways: the setting `otp-sms-provider`.
    pub async fn routed(gateways: &str) -> Self {
        Self::with(gateways, []).await
    }

    /// The same with these settings beside.
    pub async fn with<const N: usize>(gateways: &str, settings: [(&str, Value); N]) -> Self {
        Self::of(gateways, |_, setup| {
            settings.into_iter().fold(setup, |setup, (key, value)| setup.config(key, value))
        })
        .await
    }

    /// The same, arranged further once it is known where the doubles are.
    pub async fn of(gateways: &str, arrange: impl FnOnce(&Doubles, Setup) -> Setup) -> Self {
        let doubles = Doubles::start().await;
        let setup = all_configured(&doubles, Setup::new()).config("otp-sms-provider", gateways);
        let setup = arrange(&doubles, setup);
        let server = setup.start().await;
        Self { doubles, setup, server, numbers: Numbers::default() }
    }

    /// A number that was not used yet.
    pub fn number(&self) -> String {
        self.numbers.next()
    }

    /// The double of Twilio.
    pub fn twilio(&self) -> &Twilio {
        &self.doubles.twilio
    }

    /// The double of Sinch.
    pub fn sinch(&self) -> &Sinch {
        &self.doubles.sinch
    }

    /// The double of Mada.
    pub fn mada(&self) -> &Mada {
        &self.doubles.mada
    }

    /// The double of the gateway that the configuration describes.
    pub fn plain(&self) -> &SmsGateway {
        &self.doubles.plain
    }

    /// The tracker's rows of a number.
    pub async fn tracked(&self, number: &str) -> Vec<Row> {
        tracked(&self.setup, &["--number", number]).await.0
    }

    /// Waits until the tracker's rows of a number are so.
    pub async fn until_tracked(&self, number: &str, what: &str, so: impl Fn(&[Row]) -> bool) -> Vec<Row> {
        until(what, || self.tracked(number), |rows| so(rows)).await
    }

    /// Stops the server in good order and starts it again.
    pub async fn restart(self) -> (Self, Finished) {
        let (server, finished) = self.setup.restart(self.server).await;
        (Self { server, ..self }, finished)
    }

    /// Kills the server and starts it again.
    pub async fn restart_after_kill(self) -> Self {
        let server = self.setup.restart_after_kill(self.server).await;
        Self { server, ..self }
    }
}

impl Deref for Several {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.server.client
    }
}
