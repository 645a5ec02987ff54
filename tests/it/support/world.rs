//! A server with one gateway, a double of Twilio, for most tests; and one with several gateways, each a double.

use std::ops::Deref;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::documented::sent;
use super::{
    ACCOUNT_SID, AUTH_TOKEN, Client, Finished, HTTP_TOKEN, HttpResponse, Numbers, Reply, SENDER, Server,
    Setup, SmsGateway, Twilio, V2, VERIFY_SID, until, wrong,
};

/// A server, its settings, and the doubles of its gateways. Dereferences to its client.
pub struct Running<D> {
    pub doubles: D,
    pub setup: Setup,
    pub server: Server,
    pub numbers: Numbers,
}

pub type World = Running<Twilio>;

pub type Several = Running<Doubles>;

impl World {
    pub async fn new() -> Self {
        Self::of(Setup::new()).await
    }

    /// The same with these settings.
    pub async fn with<const N: usize>(settings: [(&str, Value); N]) -> Self {
        Self::of(Setup::new().configs(settings)).await
    }

    /// Starts this setup with the account's credentials. Returns a client with them too.
    pub async fn with_account(setup: Setup) -> (Self, V2) {
        let world = Self::of(V2::account(setup)).await;
        let v2 = V2::of(&world);
        (world, v2)
    }

    /// The same, and the path of a new service.
    pub async fn with_service(setup: Setup) -> (Self, V2, String) {
        let (world, v2) = Self::with_account(setup).await;
        let service = v2.service(&[]).await;
        (world, v2, service)
    }

    /// Starts this setup with the double as its gateway.
    pub async fn of(setup: Setup) -> Self {
        let twilio = Twilio::start().await;
        let setup = through(&twilio.base_url(), setup);
        let server = setup.start().await;
        Self { doubles: twilio, setup, server, numbers: Numbers::default() }
    }

    pub fn twilio(&self) -> &Twilio {
        &self.doubles
    }

    pub async fn number_with_code(&self) -> (String, String) {
        let number = self.number();
        assert_eq!(self.send(&number).await.status(), 200);
        let code = self.twilio().code_for(&number);
        (number, code)
    }

    /// A new number for whose next messages the gateway has these replies.
    pub fn number_with(&self, replies: impl IntoIterator<Item = Reply>) -> String {
        let number = self.number();
        self.twilio().plan(&number, replies);
        number
    }

    pub async fn locked_out(&self) -> (String, String) {
        let (number, code) = self.number_with_code().await;
        for _ in 0..5 {
            self.verify(&number, &wrong(&code)).await;
        }
        (number, code)
    }

    pub async fn with_new_key(&self, options: &[&str]) -> V2 {
        V2::with_key_of(self, &self.setup.new_key(options).await)
    }

    /// Starts a send that the gateway does not answer until it is released, and waits until the gateway has it.
    pub async fn hang_at_the_gateway(&self, number: &str) -> JoinHandle<HttpResponse> {
        self.twilio().plan(number, [Reply::Hang]);
        let hanging = self.begin_send(number);
        self.twilio().arrived_for(number, 1).await;
        hanging
    }
}

/// Makes the server use the Twilio at this address.
pub fn through(base_url: &str, setup: Setup) -> Setup {
    setup
        .env("TWILIO_ACCOUNT_SID", ACCOUNT_SID)
        .env("TWILIO_AUTH_TOKEN", AUTH_TOKEN)
        .env("TWILIO_PHONE_NUMBER", SENDER)
        .env("TWILIO_BASE_URL", base_url)
}

pub struct Doubles {
    /// Messages, Calls and Verify.
    pub twilio: Twilio,
    /// The gateway that the configuration describes.
    pub plain: SmsGateway,
}

impl Doubles {
    pub async fn start() -> Self {
        Self { twilio: Twilio::start().await, plain: SmsGateway::start().await }
    }

    /// The number of this number's messages at Twilio and the plain gateway.
    pub fn sends_to(&self, number: &str) -> [usize; 2] {
        [self.twilio.received_for(number).len(), self.plain.received_for(number).len()]
    }

    pub fn codes(&self) -> Vec<String> {
        [self.twilio.codes(), self.plain.codes()].concat()
    }
}

/// Settings that configure every gateway.
pub fn all_configured(doubles: &Doubles, setup: Setup) -> Setup {
    super::through(&doubles.twilio.base_url(), setup)
        .env("TWILIO_SERVICES_ID", VERIFY_SID)
        .env("ONCEWARD_GATEWAYS_HTTP_TOKEN", HTTP_TOKEN)
        .config("gateways", json!({ "Http": { "recipe": doubles.plain.recipe() } }))
}

impl Several {
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

    pub fn plain(&self) -> &SmsGateway {
        &self.doubles.plain
    }
}

impl Running<()> {
    /// A server without a gateway's double: the simulator, unless the setup says otherwise.
    pub async fn alone(setup: Setup) -> Self {
        let server = setup.start().await;
        Self { doubles: (), setup, server, numbers: Numbers::default() }
    }
}

impl<D> Running<D> {
    pub fn number(&self) -> String {
        self.numbers.next()
    }

    pub async fn number_with_message(&self) -> String {
        let number = self.number();
        self.send(&number).await.expects(sent(&number, 5));
        number
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

    /// Kills it or stops it in order, and starts it again.
    pub async fn restart_by(self, is_killed: bool) -> Self {
        if is_killed {
            return self.restart_after_kill().await;
        }
        let (world, finished) = self.restart().await;
        finished.exits(0);
        world
    }
}

impl<D> Deref for Running<D> {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.server.client
    }
}
