//! A server that sends through a Twilio double, for most tests.

use std::ops::Deref;

use serde_json::Value;
use tokio::task::JoinHandle;

use super::documented::sent;
use super::{
    ACCOUNT_SID, AUTH_TOKEN, Client, Finished, HttpResponse, Numbers, Reply, SENDER, Server, Setup, Twilio,
    V2, wrong,
};

/// A server, its settings, and its gateway's double. Dereferences to its client.
pub struct World {
    pub twilio: Twilio,
    pub setup: Setup,
    pub server: Server,
    pub numbers: Numbers,
}

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
        Self { twilio, setup, server, numbers: Numbers::default() }
    }

    pub fn number(&self) -> String {
        self.numbers.next()
    }

    pub async fn number_with_message(&self) -> String {
        let number = self.number();
        self.send(&number).await.expects(sent(&number, 5));
        number
    }

    pub async fn number_with_code(&self) -> (String, String) {
        let number = self.number();
        assert_eq!(self.send(&number).await.status(), 200);
        let code = self.twilio.code_for(&number);
        (number, code)
    }

    /// A new number for whose next messages the gateway has these replies.
    pub fn number_with(&self, replies: impl IntoIterator<Item = Reply>) -> String {
        let number = self.number();
        self.twilio.plan(&number, replies);
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
        self.twilio.plan(number, [Reply::Hang]);
        let (client, sent) = (self.server.client.clone(), number.to_owned());
        let hanging = tokio::spawn(async move { client.send(&sent).await });
        self.twilio.arrived_for(number, 1).await;
        hanging
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

impl Deref for World {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.server.client
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
