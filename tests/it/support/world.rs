//! A server with its doubles.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    ACCOUNT_SID, AUTH_TOKEN, Client, Finished, HttpResponse, Reply, SENDER, Server, Setup, Twilio, V2, sent,
};

/// A server, its settings, and the doubles of its gateways. Dereferences to its client.
pub struct Running<D> {
    pub doubles: D,
    pub setup: Setup,
    pub server: Server,
    pub numbers: Numbers,
}

pub type World = Running<Twilio>;

impl World {
    pub async fn new() -> Self {
        Self::of(Setup::new()).await
    }

    /// The same with these settings.
    pub async fn with<const N: usize>(settings: [(&str, Value); N]) -> Self {
        Self::of(settings.into_iter().fold(Setup::new(), |setup, (key, value)| setup.config(key, value)))
            .await
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

    pub async fn restart(self) -> (Self, Finished) {
        let finished = self.server.stop().await;
        (Self { server: self.setup.start().await, ..self }, finished)
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

/// Returns distinct numbers, each of a possible length for its country.
#[derive(Debug, Default)]
pub struct Numbers(AtomicU32);

impl Numbers {
    /// A new number, in E.164 form.
    pub fn next(&self) -> String {
        format!("+1415{:07}", 5_550_000 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A code of the same length that differs from `code` in its last digit.
pub fn wrong(code: &str) -> String {
    let (head, last) = code.split_at(code.len() - 1);
    let digit: u8 = last.parse().expect("a code ends with a digit");
    format!("{head}{}", (digit + 1) % 10)
}

/// A number as logs, lists and the audit log show it.
pub fn masked(number: &str) -> String {
    let (head, tail) = (&number[..5], &number[number.len() - 2..]);
    format!("{head}{}{tail}", "*".repeat(number.len() - 7))
}
