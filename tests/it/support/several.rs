//! A server with several gateways, each a double.

use std::ops::Deref;

use serde_json::Value;

use super::{
    Client, Finished, HTTP_TOKEN, MADA_PASSWORD, MADA_SOURCE, MADA_USERNAME, Mada, Numbers, SINCH_APP_ID,
    SINCH_APP_SECRET, Server, Setup, Sinch, SmsGateway, Twilio, V2, VERIFY_SID, until,
};

pub struct Doubles {
    /// Messages, Calls and Verify.
    pub twilio: Twilio,
    pub sinch: Sinch,
    pub mada: Mada,
    /// The gateway that the configuration describes.
    pub plain: SmsGateway,
}

/// A server, its settings, and its gateways' doubles. Dereferences to its client.
pub struct Running<D> {
    pub doubles: D,
    pub setup: Setup,
    pub server: Server,
    pub numbers: Numbers,
}

pub type Several = Running<Doubles>;

impl Doubles {
    pub async fn start() -> Self {
        Self {
            twilio: Twilio::start().await,
            sinch: Sinch::start().await,
            mada: Mada::start().await,
            plain: SmsGateway::start().await,
        }
    }

    /// The number of this number's messages at Twilio, Sinch, Mada and the plain gateway.
    pub fn sends_to(&self, number: &str) -> [usize; 4] {
        [
            self.twilio.received_for(number).len(),
            self.sinch.received_for(number).len(),
            self.mada.received_for(number).len(),
            self.plain.received_for(number).len(),
        ]
    }

    pub fn codes(&self) -> Vec<String> {
        [self.twilio.codes(), self.sinch.codes(), self.mada.codes(), self.plain.codes()].concat()
    }
}

/// Settings that configure every gateway.
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
        .config("http-gateway", doubles.plain.settings())
}

impl Several {
    /// The default settings with these gateways (`otp-sms-provider`).
    pub async fn routed(gateways: &str) -> Self {
        Self::with(gateways, []).await
    }

    /// The same with more settings.
    pub async fn with<const N: usize>(gateways: &str, settings: [(&str, Value); N]) -> Self {
        Self::of(gateways, |_, setup| setup.configs(settings)).await
    }

    /// The same with the server's own account, for a client of `/v2`.
    pub async fn with_account<const N: usize>(gateways: &str, settings: [(&str, Value); N]) -> Self {
        Self::of(gateways, |_, setup| V2::account(setup).configs(settings)).await
    }

    /// The same; `arrange` may use the doubles' addresses.
    pub async fn of(gateways: &str, arrange: impl FnOnce(&Doubles, Setup) -> Setup) -> Self {
        let doubles = Doubles::start().await;
        let setup = all_configured(&doubles, Setup::new()).config("otp-sms-provider", gateways);
        let setup = arrange(&doubles, setup);
        let server = setup.start().await;
        Self { doubles, setup, server, numbers: Numbers::default() }
    }

    pub fn twilio(&self) -> &Twilio {
        &self.doubles.twilio
    }

    pub fn sinch(&self) -> &Sinch {
        &self.doubles.sinch
    }

    pub fn mada(&self) -> &Mada {
        &self.doubles.mada
    }

    pub fn plain(&self) -> &SmsGateway {
        &self.doubles.plain
    }
}

impl<D> Running<D> {
    pub fn number(&self) -> String {
        self.numbers.next()
    }

    pub async fn tracked(&self, number: &str) -> Vec<Value> {
        self.setup.tracked(&["--number", number]).await
    }

    /// Waits until the tracker's rows of a number satisfy the condition.
    pub async fn until_tracked(&self, number: &str, what: &str, so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        until(what, || self.tracked(number), |rows| so(rows)).await
    }

    pub async fn restart(self) -> (Self, Finished) {
        let (server, finished) = self.setup.restart(self.server).await;
        (Self { server, ..self }, finished)
    }

    pub async fn restart_after_kill(self) -> Self {
        let server = self.setup.restart_after_kill(self.server).await;
        Self { server, ..self }
    }
}

impl<D> Deref for Running<D> {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.server.client
    }
}
