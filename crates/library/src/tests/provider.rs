//! The double of providers: it records the messages of all its gateways, and answers as a test says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::domain::{Channel, Code, GatewayName, PhoneNumber};
use crate::gateway::{
    Accepted, BoxFuture, Callback, ErrorClass, Gateway, GatewayError, OutgoingMessage, Verdict,
};

/// A message that a gateway received, and when.
#[derive(Debug, Clone)]
pub struct Handed {
    pub at: Instant,
    pub by: GatewayName,
    pub channel: Channel,
    pub to: PhoneNumber,
    pub text: String,
    pub code: String,
    pub valid_for: Duration,
    pub callback: Option<Callback>,
}

/// An answer, and when. An error has its class, and whether every message would meet it, and can ask for a wait.
#[derive(Debug, Clone)]
pub struct Answer<T = String> {
    delay: Duration,
    wait: Option<Duration>,
    result: Result<T, (ErrorClass, bool)>,
}

/// Accepts the message.
pub fn accepted(id: &str) -> Answer {
    answer(Ok(id.to_owned()))
}

/// Refuses this message only.
pub fn error(class: ErrorClass) -> Answer {
    answer(Err((class, false)))
}

/// Would refuse every message.
pub fn down(class: ErrorClass) -> Answer {
    answer(Err((class, true)))
}

fn answer<T>(result: Result<T, (ErrorClass, bool)>) -> Answer<T> {
    Answer { delay: Duration::ZERO, wait: None, result }
}

/// Answers long after every time limit.
pub fn hanging() -> Answer {
    accepted("too late").after_ms(3_600_000)
}

impl<T> Answer<T> {
    #[must_use]
    pub fn after_ms(self, delay: u64) -> Self {
        Self { delay: Duration::from_millis(delay), ..self }
    }

    #[must_use]
    pub fn asking_to_wait(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }

    async fn play(self, gateway: GatewayName) -> Result<T, GatewayError> {
        sleep(self.delay).await;
        let detail = "was told to fail".to_owned();
        self.result.map_err(|(class, whole_gateway)| GatewayError {
            gateway,
            class,
            wait: self.wait,
            code: Some(7),
            detail,
            said: None,
            whole_gateway,
            whole_country: false,
        })
    }
}

/// The provider behind every gateway, which records the messages in their order.
#[derive(Clone, Default)]
pub struct ProviderDouble {
    state: Arc<Mutex<State>>,
    arrivals: Arc<watch::Sender<usize>>,
    hangs: Arc<watch::Sender<bool>>,
}

type Readiness = Arc<dyn Fn(GatewayName) -> Result<(), String> + Send + Sync>;

#[derive(Default)]
struct State {
    handed: Vec<Handed>,
    /// For the next message to this gateway, or to any.
    answers: Vec<(Option<GatewayName>, Answer)>,
    /// Whether a message without an answer fails the test. Otherwise it is accepted.
    only_scripted: bool,
    verdicts: VecDeque<(GatewayName, Answer<Verdict>)>,
    /// The numbers, channels and codes of which a gateway was asked.
    questions: Vec<(PhoneNumber, Channel, String)>,
    readiness: Option<Readiness>,
}

impl ProviderDouble {
    /// A message beyond the answers fails the test.
    pub fn scripted() -> Self {
        let provider = Self::default();
        provider.state.lock().only_scripted = true;
        provider
    }

    /// It answers no message yet.
    pub fn hanging() -> Self {
        let provider = Self::default();
        provider.hangs(true);
        provider
    }

    /// A gateway for every channel.
    pub fn gateway(&self, name: GatewayName) -> Arc<dyn Gateway> {
        self.gateway_for(name, &Channel::ALL)
    }

    pub fn gateway_for(&self, name: GatewayName, channels: &'static [Channel]) -> Arc<dyn Gateway> {
        Arc::new(GatewayDouble { name, channels, provider: self.clone() })
    }

    pub fn handed(&self) -> Vec<Handed> {
        self.state.lock().handed.clone()
    }

    /// The code in the last message to a number.
    pub fn code_for(&self, to: PhoneNumber) -> Code {
        let handed = self.handed().into_iter().rev().find(|handed| handed.to == to);
        Code::parse(&handed.expect("a message").code).expect("a code")
    }

    /// The answers to the next messages to this gateway.
    pub fn answers(&self, name: GatewayName, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().answers.extend(answers.into_iter().map(|answer| (Some(name), answer)));
    }

    /// The next message fails with this class.
    pub fn fails_with(&self, class: ErrorClass) {
        self.state.lock().answers.push((None, error(class)));
    }

    /// The next question about a code is to this gateway, which answers so.
    pub fn says(&self, name: GatewayName, after_ms: u64, result: Result<Verdict, (ErrorClass, bool)>) {
        self.state.lock().verdicts.push_back((name, answer(result).after_ms(after_ms)));
    }

    pub fn questions(&self) -> Vec<(PhoneNumber, Channel, String)> {
        self.state.lock().questions.clone()
    }

    /// What its gateways answer when they are asked whether they are ready.
    pub fn is_ready_if(&self, readiness: impl Fn(GatewayName) -> Result<(), String> + Send + Sync + 'static) {
        self.state.lock().readiness = Some(Arc::new(readiness));
    }

    /// With `true`, no later message is answered until a call with `false`.
    pub fn hangs(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    /// Waits until `messages` messages have arrived.
    pub async fn arrived(&self, messages: usize) {
        let mut arrivals = self.arrivals.subscribe();
        arrivals.wait_for(|arrived| *arrived >= messages).await.expect("the provider is there");
    }
}

struct GatewayDouble {
    name: GatewayName,
    channels: &'static [Channel],
    provider: ProviderDouble,
}

impl GatewayDouble {
    /// Keeps the message, and returns how many there are now.
    #[expect(clippy::disallowed_methods, reason = "tokio's time, which tests pause")]
    fn keep(&self, message: &OutgoingMessage) -> usize {
        let handed = &mut self.provider.state.lock().handed;
        handed.push(Handed {
            at: Instant::now(),
            by: self.name,
            channel: message.channel,
            to: message.to,
            text: message.text.clone(),
            code: message.code.expose().to_owned(),
            valid_for: message.valid_for,
            callback: message.callback.clone(),
        });
        handed.len()
    }

    /// The first answer that is for this gateway or for any.
    fn next_answer(&self) -> Option<Answer> {
        let answers = &mut self.provider.state.lock().answers;
        let place = answers.iter().position(|(whose, _)| whose.is_none_or(|whose| whose == self.name))?;
        Some(answers.remove(place).1)
    }
}

impl Gateway for GatewayDouble {
    fn name(&self) -> GatewayName {
        self.name
    }

    fn channels(&self) -> &[Channel] {
        self.channels
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move {
            let ProviderDouble { state, arrivals, hangs } = &self.provider;
            let count = self.keep(message);
            arrivals.send_replace(count);
            hangs.subscribe().wait_for(|hangs| !hangs).await.expect("the provider is there");
            let answer = self.next_answer();
            assert!(
                answer.is_some() || !state.lock().only_scripted,
                "{} was asked more often than its script says",
                self.name
            );
            let answer = answer.unwrap_or_else(|| accepted(&format!("{}-{count}", self.name)));
            answer.play(self.name).await.map(|message_id| Accepted { message_id })
        })
    }

    fn holds_codes(&self) -> bool {
        matches!(self.name, GatewayName::TwilioVerify | GatewayName::Sinch)
    }

    fn check<'a>(
        &'a self,
        to: PhoneNumber,
        channel: Channel,
        code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>> {
        Box::pin(async move {
            let next = {
                let mut state = self.provider.state.lock();
                state.questions.push((to, channel, code.expose().to_owned()));
                state.verdicts.pop_front()
            };
            let (name, answer) = next.expect("a verdict for this check");
            assert_eq!(name, self.name);
            answer.play(name).await
        })
    }

    fn readiness(&self) -> Result<(), String> {
        let readiness = self.provider.state.lock().readiness.clone();
        readiness.map_or(Ok(()), |readiness| readiness(self.name))
    }
}
